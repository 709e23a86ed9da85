// SPDX-License-Identifier: Apache-2.0
//
// /proc/net/tcp and tcp6 as the kernel prints them: addresses in hexadecimal, in host byte order by
// 32-bit words, state 01 for established.
#ifndef AGENT_HOST_CONNECTION_TABLE_H_
#define AGENT_HOST_CONNECTION_TABLE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace npufleet::host {

// Inodes of the established sockets whose remote end is `address` (IPv4, also as ::ffff:a.b.c.d)
// and `port`. Lines that cannot be read are passed over; an address that is no IPv4 gives none.
std::set<uint64_t> EstablishedInodes(std::string_view table, std::string_view address,
                                     uint16_t port);

// Inode -> local port of the sockets that listen (state 0A).
std::map<uint64_t, uint16_t> ListeningInodes(std::string_view table);

}  // namespace npufleet::host

#endif  // AGENT_HOST_CONNECTION_TABLE_H_
