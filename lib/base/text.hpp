// SPDX-License-Identifier: Apache-2.0
#pragma once
// Words as people type them: the known word that a wrong one was probably meant to be, a name as a shell takes it.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/strong.hpp"

namespace umbra::base {

/// Letters to insert, remove, replace or swap with their neighbour to make `a` into `b`; upper and lower case are
/// alike.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word`, the first of several; nothing where none is near enough to be a slip of the hand
/// (more than about a third of its letters wrong).
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

/// `text` as one word of a POSIX shell: as it is where that is safe, else in single quotes.
std::string shell_word(std::string_view text);
template <class Tag>
std::string shell_word(const Strong<Tag>& name) {
  return shell_word(std::string_view(name.get()));
}

/// `; did you mean "x"?` or nothing: the end of a message about an unknown `word`.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

/// The words of `text` in lines of at most `width` columns, those after the first moved in by `indent`, which counts
/// for the first as well. A word that is longer has a line to itself. Line ends in `text` are blanks; for ASCII.
std::string filled(std::string_view text, std::size_t width, std::size_t indent = 0);

/// Whether it is text in UTF-8 (RFC 3629), as JSON must be.
bool is_utf8(std::string_view text);

/// What a message may show of text from elsewhere: at most 60 bytes, control characters and what is no UTF-8 as "?".
std::string shown(std::string_view text);

/// "http://host/path" of "http://user:password@host/path": for messages.
std::string without_credentials(std::string_view url);

}  // namespace umbra::base
