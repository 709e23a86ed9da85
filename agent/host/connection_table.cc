// SPDX-License-Identifier: Apache-2.0
#include "agent/host/connection_table.h"

#include <arpa/inet.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "agent/host/host.h"

namespace npufleet::host {
namespace {

// The inode of "socket:[12345]", 0 for any other link.
uint64_t SocketInode(std::string_view link) {
  constexpr std::string_view kPrefix = "socket:[";
  uint64_t inode = 0;
  if (link.substr(0, kPrefix.size()) != kPrefix || link.back() != ']') return 0;
  const std::string digits(link.substr(kPrefix.size(), link.size() - kPrefix.size() - 1));
  return absl::SimpleAtoi(digits, &inode) ? inode : 0;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace

std::set<uint64_t> EstablishedInodes(std::string_view table, std::string_view address,
                                     uint16_t port) {
  std::set<uint64_t> inodes;
  in_addr parsed = {};
  if (inet_pton(AF_INET, std::string(address).c_str(), &parsed) != 1) return inodes;
  const std::string v4 = absl::StrFormat("%08X:%04X", parsed.s_addr, port);
  const std::string v6 = absl::StrCat(absl::StrFormat("%08X%08X%08X", 0, 0, htonl(0x0000FFFF)), v4);
  for (absl::string_view line : absl::StrSplit(std::string(table), '\n')) {
    const std::vector<absl::string_view> cells =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    uint64_t inode = 0;
    if (cells.size() < 10 || cells[3] != "01" || (cells[2] != v4 && cells[2] != v6)) continue;
    if (absl::SimpleAtoi(cells[9], &inode) && inode != 0) inodes.insert(inode);
  }
  return inodes;
}

std::map<uint64_t, uint16_t> ListeningInodes(std::string_view table) {
  std::map<uint64_t, uint16_t> ports;
  for (absl::string_view line : absl::StrSplit(std::string(table), '\n')) {
    const std::vector<std::string> cells =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    uint64_t inode = 0;
    uint32_t port = 0;
    if (cells.size() < 10 || cells[3] != "0A") continue;
    const size_t colon = cells[1].rfind(':');
    if (colon == std::string::npos || !absl::SimpleHexAtoi(cells[1].substr(colon + 1), &port) ||
        !absl::SimpleAtoi(cells[9], &inode)) {
      continue;
    }
    ports[inode] = static_cast<uint16_t>(port);
  }
  return ports;
}

absl::StatusOr<bool> System::ConnectedTo(int pid, std::string_view address, uint16_t port) {
  const std::string folder = absl::StrCat("/proc/", pid);
  std::error_code error;
  std::filesystem::directory_iterator descriptors(folder + "/fd", error);
  if (error) return absl::NotFoundError(absl::StrCat("process ", pid, ": ", error.message()));
  std::set<uint64_t> wanted;
  for (const char* table : {"/net/tcp", "/net/tcp6"}) {
    wanted.merge(EstablishedInodes(ReadAll(folder + table), address, port));
  }
  if (wanted.empty()) return false;
  const std::filesystem::directory_iterator end;
  for (; descriptors != end; descriptors.increment(error)) {
    if (error) break;
    const std::filesystem::path link = std::filesystem::read_symlink(descriptors->path(), error);
    if (!error && wanted.contains(SocketInode(link.native()))) return true;
    error.clear();
  }
  return false;
}

}  // namespace npufleet::host
