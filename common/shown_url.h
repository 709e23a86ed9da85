// SPDX-License-Identifier: Apache-2.0
//
// URLs for logs, messages and plans. Pure.
#ifndef COMMON_SHOWN_URL_H_
#define COMMON_SHOWN_URL_H_

#include <string>
#include <string_view>

namespace npufleet {

// The URL as it may be shown: with `user` in place of "USER:PASSWORD@", and without the query when
// that signs or holds a key.
std::string ShownUrl(std::string_view url, std::string_view user = "");

}  // namespace npufleet

#endif  // COMMON_SHOWN_URL_H_
