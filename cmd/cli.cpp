// SPDX-License-Identifier: Apache-2.0
#include "cmd/cli.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/text.hpp"
#include "cmd/exit_status.hpp"

namespace umbra::cmd {
namespace {

constexpr const char* first_lines =
    "umbra keeps a shadow of a virtual machine ready on another host and moves it there in time.\n\n"
    "  umbra predict --all --within 30m | umbra place - | umbra shadow - | umbra replicate - \\\n"
    "      | umbra sync - | umbra decide - | umbra switchover -\n";

constexpr const char* last_words =
    "Exit status: 0 done; 1 failed; 2 usage or configuration; 3 some VMs failed, others done; 4 refused by a safety "
    "check; 5 an interrupted switchover needs `umbra switchover --recover`; 6 locked by another run; 10 with "
    "`decide --exit-code`: stay; 128+N on signal N.";

constexpr std::size_t help_width = 80;      // of the narrowest terminal that is in use
constexpr std::size_t options_column = 30;  // where what they do is told

std::string last_lines() {
  return "\n" + base::filled(last_words, help_width) + "\n";
}

std::string operand_text(const Verb& verb) {
  switch (verb.operands) {
    case Operands::none:
      return "";
    case Operands::vms:
      return " VM... | --all | -";
    case Operands::words:
      return verb.actions.empty() ? " [WORD...]" : fmt::format(" {} [WORD...]", fmt::join(verb.actions, "|"));
  }
  return "";
}

std::string main_help() {
  std::string text = std::string(first_lines) + "\nVerbs:\n";
  for (const Verb& verb : verbs()) text += fmt::format("  {:<12}{}\n", verb.name, verb.summary);
  text += "\n`umbra VERB --help` tells a verb's options. `umbra --version` tells the version.\n";
  return text + last_lines();
}

std::string option_lines(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    const std::string left = option.value.empty() ? option.flags : option.flags + " " + option.value;
    const std::string fallback = option.fallback.empty() ? "" : fmt::format(" [{}]", option.fallback);
    const std::string gap = left.size() > 27 ? "\n" + std::string(options_column, ' ') : "";
    text += fmt::format("  {:<28}{}{}\n", left, gap, base::filled(option.help + fallback, help_width, options_column));
  }
  return text;
}

std::string verb_help(const Verb& verb) {
  Common common;
  std::string text =
      fmt::format("{}\n\n{}\n\n{}\n\n",
                  base::filled(fmt::format("Usage: umbra {}{} [OPTION...]", verb.name, operand_text(verb)), help_width),
                  base::filled(verb.summary + ".", help_width), base::filled(verb.text, help_width));
  if (!verb.options.empty()) text += "Options:\n" + option_lines(verb.options) + "\n";
  text += "Options of every verb:\n" + option_lines(common_options(verb, common));
  if (!verb.examples.empty()) text += "\nExamples:\n";
  for (const std::string& example : verb.examples) text += "  " + example + "\n";
  return text + last_lines();
}

void add_option(CLI::App& app, const Option& option) {
  CLI::Option* added = nullptr;
  if (option.value.empty()) {
    added = app.add_flag_callback(
        option.flags, [&option] { option.set(""); }, option.help);
  } else if (option.repeats) {
    app.add_option_function<std::vector<std::string>>(
           option.flags, [&option](const std::vector<std::string>& all) { std::ranges::for_each(all, option.set); },
           option.help)
        ->allow_extra_args(false);
  } else {
    added = app.add_option_function<std::string>(
        option.flags, [&option](const std::string& text) { option.set(text); }, option.help);
    added->take_last();
  }
}

Verb find_verb(const std::string& name) {
  std::vector<std::string> names;
  std::vector<Verb> all = verbs();
  for (Verb& verb : all) {
    if (verb.name == name) return std::move(verb);
    names.push_back(verb.name);
  }
  const auto nearest = base::nearest(name, names);
  throw base::Error(base::Kind::usage, fmt::format("there is no verb \"{}\"", name),
                    nearest ? fmt::format("did you mean `umbra {}`?", *nearest) : "`umbra --help` lists the verbs");
}

/// The nearest right option for the first word that is none.
std::string option_hint(const std::vector<Option>& known, const std::vector<std::string>& words, const Verb& verb) {
  std::vector<std::string> names;
  for (const Option& option : known) {
    for (std::size_t at = 0; at < option.flags.size();) {
      const std::size_t end = std::min(option.flags.find(',', at), option.flags.size());
      names.push_back(option.flags.substr(at, end - at));
      at = end + 1;
    }
  }
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    if (name.size() < 3 || name[0] != '-' || std::find(names.begin(), names.end(), name) != names.end()) continue;
    if (const auto nearest = base::nearest(name, names)) return fmt::format("did you mean {}?", *nearest);
  }
  return fmt::format("`umbra {} --help` lists its options", verb.name);
}

Common parse_verb(const Verb& verb, const std::vector<std::string>& words) {
  Common common;
  std::vector<Option> options = common_options(verb, common);
  options.insert(options.end(), verb.options.begin(), verb.options.end());
  CLI::App app;
  app.set_help_flag();
  for (const Option& option : options) add_option(app, option);
  if (verb.operands != Operands::none) app.add_option("operands", common.operands);
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    throw base::Error(base::Kind::usage, fmt::format("{}: {}", verb.name, e.what()), option_hint(options, words, verb));
  }
  return common;
}

}  // namespace

std::vector<Option> common_options(const Verb& verb, Common& common) {
  std::vector<Option> options;
  if (verb.operands == Operands::vms)
    options.push_back({"--all", "", "every running VM of every configured host", "", set_flag(common.all)});
  options.push_back({"-o,--output",
                     "FORMAT",
                     "auto, table or jsonl",
                     "auto",
                     set_choice("--output", common.output, {"auto", "table", "jsonl"}),
                     {"auto", "table", "jsonl"}});
  options.push_back({"--show", "", "with JSON lines: the table on standard error as well", "", set_flag(common.show)});
  if (verb.changes)
    options.push_back({"-n,--dry-run", "", "tell the plan, change nothing", "", set_flag(common.dry_run)});
  options.push_back({"-c,--connect", "URI", "libvirt connection instead of the configured hosts", "",
                     [&common](const std::string& t) { common.connect = t; }});
  options.push_back(
      {"--config", "FILE", "configuration file", "", [&common](const std::string& t) { common.config = t; }});
  options.push_back(
      {"--state", "DIR", "where the state database lies", "", [&common](const std::string& t) { common.state = t; }});
  options.push_back(
      {"--progress-fd", "N", "progress as JSON lines on descriptor N", "", [&common](const std::string& t) {
         std::optional<double> fd;
         set_number("--progress-fd", fd, 0, 1 << 20)(t);
         common.progress_fd = static_cast<int>(*fd);
         if (::fcntl(common.progress_fd, F_GETFD) < 0)
           throw base::Error(base::Kind::usage, fmt::format("--progress-fd {}: no such descriptor is open", t),
                             fmt::format("open it in the shell: umbra VERB ... --progress-fd {0} {0}>FILE", t));
       }});
  options.push_back({"-q,--quiet", "", "no messages but errors", "", set_flag(common.quiet)});
  options.push_back({"-v,--verbose", "", "more messages", "", set_flag(common.verbose)});
  return options;
}

Parsed parse(const std::vector<std::string>& words, const std::string& version) {
  Parsed parsed;
  if (words.empty()) throw base::Error(base::Kind::usage, "no verb was given", "`umbra --help` lists the verbs");
  const auto is_help = [](const std::string& w) { return w == "--help" || w == "-h"; };
  if (is_help(words[0]) || (words[0] == "help" && words.size() == 1)) {
    parsed.text = main_help();
  } else if (words[0] == "--version" || words[0] == "-V") {
    parsed.text = fmt::format("umbra {}\n", version);
  } else if (words[0].starts_with("-") && words[0] != "-") {
    throw base::Error(base::Kind::usage, fmt::format("\"{}\" stands where a verb is expected", words[0]),
                      "type the verb first: umbra VERB [OPTION...]");
  } else {
    Verb verb = find_verb(words[0] == "help" ? words[1] : words[0]);
    const std::vector<std::string> rest(words.begin() + 1, words.end());
    if (words[0] == "help" || std::any_of(rest.begin(), rest.end(), is_help)) {
      parsed.text = verb_help(verb);
    } else {
      parsed.common = parse_verb(verb, rest);
      parsed.verb = std::move(verb);
    }
  }
  return parsed;
}

}  // namespace umbra::cmd
