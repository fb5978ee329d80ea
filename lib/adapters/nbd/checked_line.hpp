// SPDX-License-Identifier: Apache-2.0
#pragma once
// A file of one line and, as its second one, the first one's SHA-256: "sha256:…". A bit that the disk lost is seen,
// even where the line still reads well.

#include <string>

namespace umbra::nbd {

/// The file's text; `line` without its end.
std::string with_digest(const std::string& line);
/// The line in it. Kind::corrupt where it does not match its digest, which may be absent in files of before.
std::string checked_line(const std::string& text);

}  // namespace umbra::nbd
