// SPDX-License-Identifier: Apache-2.0
#pragma once
// A file of keys that both ends have. Inside this folder only.

#include <string>
#include <string_view>
#include <vector>

namespace umbra::tls {

struct SharedKey {
  std::string identity;  ///< told in plain during the handshake
  std::vector<unsigned char> key;
};

/// Lines of identity:hex (a server may know several, a client uses the first), or else random bytes, one key without
/// an identity of its own. Kind::refused for a file that others may read, for keys of less than 16 bytes, and, with its
/// number, for a line among others that is none: text that has a colon is lines.
std::vector<SharedKey> read_key_file(const std::string& path);
/// The same from the file's contents.
std::vector<SharedKey> parse_keys(std::string_view content, const std::string& path);

}  // namespace umbra::tls
