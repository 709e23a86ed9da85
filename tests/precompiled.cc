// SPDX-License-Identifier: Apache-2.0
//
// Only here so that CMake compiles the header of what all tests include.
int main() { return 0; }
