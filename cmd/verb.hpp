// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a verb is: a table of options and a function. The table is the only source of parsing, --help, the manual page
// and the completions.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "model/config.hpp"

namespace umbra::cmd {

class Session;

/// One option. `set` gets the text as typed ("" for a flag) and throws Kind::usage where it can't be taken.
struct Option {
  std::string flags;  ///< "-w,--within"
  std::string value;  ///< name of the value in the help; empty for a flag
  std::string help;
  std::string fallback;  ///< shown as the default; empty: none
  std::function<void(const std::string&)> set;
  std::vector<std::string> choices = {};  ///< what completions offer
  bool repeats = false;                   ///< `set` gets each; else the last alone
};

/// Which operands a verb takes.
enum class Operands { none, vms, words };

struct Verb {
  std::string name;
  std::string summary;  ///< one line, no full stop
  std::string text;     ///< paragraphs for --help and the manual page
  Operands operands = Operands::vms;
  std::vector<std::string> actions;  ///< for Operands::words: what the first word may be
  std::vector<Option> options;
  std::vector<std::string> examples;
  bool changes = false;  ///< has --dry-run
  std::function<int(Session&)> run;
};

/// What every verb takes, as parsed.
struct Common {
  std::vector<std::string> operands;
  bool all = false;
  std::string output = "auto";
  bool show = false;
  bool dry_run = false;
  int progress_fd = -1;
  bool quiet = false;
  bool verbose = false;
  std::optional<std::string> config;
  std::optional<std::string> state;
  std::optional<std::string> connect;
};

/// Whether records are read from standard input.
inline bool is_piped(const Common& common) {
  return common.operands == std::vector<std::string>{"-"};
}

// Setters for the common kinds of values; each throws Kind::usage naming the option and what it takes.
std::function<void(const std::string&)> set_flag(bool& target);
std::function<void(const std::string&)> set_text(std::string& target);
/// Words parted by commas.
std::function<void(const std::string&)> set_list(std::vector<std::string>& target);
std::function<void(const std::string&)> set_duration(std::string option, std::optional<base::Seconds>& target);
std::function<void(const std::string&)> set_number(std::string option, std::optional<double>& target, double least,
                                                   double most);
std::function<void(const std::string&)> set_count(std::string option, std::optional<unsigned>& target, unsigned least);
/// Bytes or bits per second, as the configuration writes them.
std::function<void(const std::string&)> set_rate(std::string option, std::optional<model::ByteRate>& target);
std::function<void(const std::string&)> set_choice(std::string option, std::string& target,
                                                   std::vector<std::string> choices);

/// Kind::not_found where `dir` is no folder: one that was mistyped, or is not mounted, is not made.
void need_folder(const std::string& dir);

/// The files by which the ends of TLS know each other; `when` begins each help text: "with --to".
std::vector<Option> tls_options(model::TlsFiles& files, const std::string& when);

/// Every verb, in the order of the mission, each with fresh options.
std::vector<Verb> verbs();

// One maker per verb, each in its own file.
Verb observe_verb();
Verb predict_verb();
Verb place_verb();
Verb shadow_verb();
Verb replicate_verb();
Verb sync_verb();
Verb decide_verb();
Verb switchover_verb();
Verb pool_verb();
Verb model_verb();
Verb status_verb();
Verb doctor_verb();
Verb receive_verb();

}  // namespace umbra::cmd
