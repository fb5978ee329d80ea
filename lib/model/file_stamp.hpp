// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a file looked like: one that was written to since looks otherwise.

#include <cstdint>

namespace umbra::model {

struct FileStamp {
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;  ///< since 1970
  bool operator==(const FileStamp&) const = default;
};

}  // namespace umbra::model
