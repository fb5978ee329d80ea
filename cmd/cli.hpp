// SPDX-License-Identifier: Apache-2.0
#pragma once
// The command line: from the verbs' option tables to a parsed run, the help, the manual pages and the completions.

#include <optional>
#include <string>
#include <vector>

#include "cmd/verb.hpp"

namespace umbra::cmd {

struct Parsed {
  std::optional<Verb> verb;  ///< absent: `text` is the answer (help, version)
  Common common;
  std::string text;
};

/// Kind::usage for anything wrong, with the nearest right word.
Parsed parse(const std::vector<std::string>& words, const std::string& version);

/// The options that every verb takes; `common` receives them.
std::vector<Option> common_options(const Verb& verb, Common& common);

/// Manual page of one verb, or of the program where `verb` is null.
std::string man_page(const Verb* verb, const std::string& version);
std::string bash_completion();
std::string zsh_completion();

}  // namespace umbra::cmd
