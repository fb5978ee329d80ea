// SPDX-License-Identifier: Apache-2.0
// Manual pages and completions, from the same option tables that parse the command line.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <set>

#include "base/text.hpp"
#include "cmd/cli.hpp"

namespace umbra::cmd {
namespace {

/// Text as roff needs it: no line starts with a control character, hyphens and backslashes are themselves.
std::string roff(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool line_start = i == 0 || text[i - 1] == '\n';
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    if (c == '\n' && i + 1 < text.size() && text[i + 1] == '\n') {
      out += ".PP";
    }
  }
  return out;
}

std::string roff_options(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    std::string flags = option.flags;
    if (const auto comma = flags.find(','); comma != std::string::npos) flags.replace(comma, 1, ", ");
    text += fmt::format(".TP\n\\fB{}\\fR{}\n{}{}\n", roff(flags),
                        option.value.empty() ? "" : " \\fI" + option.value + "\\fR", roff(option.help),
                        option.fallback.empty() ? "" : fmt::format(" (default: {})", roff(option.fallback)));
  }
  return text;
}

/// The long and short names of an option, apart.
std::vector<std::string> names_of(const Option& option) {
  const auto comma = option.flags.find(',');
  if (comma == std::string::npos) return {option.flags};
  return {option.flags.substr(0, comma), option.flags.substr(comma + 1)};
}

std::vector<Option> all_options(const Verb& verb, Common& common) {
  std::vector<Option> options = verb.options;
  for (Option& option : common_options(verb, common)) options.push_back(std::move(option));
  return options;
}

constexpr std::size_t page_width = 120;  // of a page's source; who shows it fills anew

constexpr const char* exit_section =
    ".SH EXIT STATUS\n0 done; 1 failed; 2 usage or configuration; 3 some VMs failed, others done; 4 refused by a "
    "safety check;\n"
    "5 an interrupted switchover needs\n.B umbra switchover \\-\\-recover\n; 6 locked by another run; 10 with decide "
    "\\-\\-exit\\-code: stay;\n"
    "128+N on signal N.\n";

}  // namespace

std::string man_page(const Verb* verb, const std::string& version) {
  if (verb == nullptr) {
    std::string text = fmt::format(
        ".TH UMBRA 1 \"\" \"umbra {}\"\n.SH NAME\numbra \\- keep a shadow of a virtual machine ready on another host, "
        "and move it there in "
        "time\n.SH SYNOPSIS\n.B umbra\n.I VERB\n[OPERAND...] [OPTION...]\n.SH DESCRIPTION\nEach verb is a small tool. "
        "They "
        "chain as JSON lines:\n.PP\n.nf\numbra predict \\-\\-all \\-\\-within 30m | umbra place \\- | umbra shadow \\- "
        "| umbra replicate \\- \\e\n"
        "    | umbra sync \\- | umbra decide \\- | umbra switchover \\-\n.fi\n.SH VERBS\n",
        version);
    for (const Verb& one : verbs()) text += fmt::format(".TP\n.BR umbra\\-{} (1)\n{}\n", one.name, roff(one.summary));
    return text + exit_section;
  }
  Common common;
  const char* operands = verb->operands == Operands::none  ? ""
                         : verb->operands == Operands::vms ? "\n.RI [ VM... \" | \\-\\-all | \\-]\""
                                                           : "\n.RI [ WORD... ]";
  std::string text = fmt::format(
      ".TH UMBRA\\-{} 1 \"\" \"umbra {}\"\n.SH NAME\numbra\\-{} \\- {}\n.SH SYNOPSIS\n.B umbra {}{}\n[OPTION...]\n.SH "
      "DESCRIPTION\n{}\n.SH "
      "OPTIONS\n",
      verb->name, version, verb->name, roff(verb->summary), verb->name, operands,
      roff(base::filled(verb->text, page_width)));
  text += roff_options(all_options(*verb, common));
  if (!verb->examples.empty()) text += ".SH EXAMPLES\n.nf\n";
  for (const std::string& example : verb->examples) text += roff(example) + "\n";
  if (!verb->examples.empty()) text += ".fi\n";
  return text + exit_section + ".SH SEE ALSO\n.BR umbra (1)\n";
}

std::string bash_completion() {
  std::string names;
  std::string cases;
  std::set<std::string> valued;
  for (const Verb& verb : verbs()) {
    Common common;
    names += (names.empty() ? "" : " ") + verb.name;
    std::string flags;
    for (const Option& option : all_options(verb, common)) {
      for (const std::string& name : names_of(option)) {
        flags += (flags.empty() ? "" : " ") + name;
        if (!option.value.empty()) valued.insert(name);
      }
    }
    cases += fmt::format("    {}) flags=\"{}\"; words=\"{}\" ;;\n", verb.name, flags, fmt::join(verb.actions, " "));
  }
  return fmt::format(R"BASH(# bash completion for umbra; made from the option tables
_umbra() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} flags= words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "{0} --help --version" -- "$cur")
    return
  fi
  case $prev in
    -o|--output) mapfile -t COMPREPLY < <(compgen -W "auto table jsonl" -- "$cur"); return ;;
    --config|--export|--trace) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --state|--into|--images) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    {2}) return ;;
  esac
  case ${{COMP_WORDS[1]}} in
{1}  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags --help" -- "$cur")
  else
    # Names are data: whoever names a VM must not get a word in here.
    local word
    while IFS= read -r word; do
      [[ -n $word && $word == "$cur"* ]] && COMPREPLY+=("$(printf %q "$word")")
    done < <(printf '%s\n' $words; umbra status -o jsonl 2>/dev/null | sed -n 's/.*"vm":{{"name":"\([^"\\]*\)".*/\1/p')
  fi
}}
complete -F _umbra umbra
)BASH",
                     names, cases, fmt::join(valued, "|"));
}

std::string zsh_completion() {
  std::string text = "#compdef umbra\n# made from the option tables\n_umbra() {\n  local -a verbs\n  verbs=(\n";
  for (const Verb& verb : verbs()) text += fmt::format("    '{}:{}'\n", verb.name, verb.summary);
  text += "  )\n  if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n  case $words[2] in\n";
  for (const Verb& verb : verbs()) {
    Common common;
    text += fmt::format("    {})\n      _arguments \\\n", verb.name);
    for (const Option& option : all_options(verb, common)) {
      const std::string value =
          option.value.empty()
              ? ""
              : fmt::format(":{}:{}", option.value,
                            option.choices.empty() ? "_files" : fmt::format("({})", fmt::join(option.choices, " ")));
      std::string help;
      for (const char c : option.help)
        help += c == '\''                          ? std::string("'\\''")
                : c == '[' || c == ']' || c == ':' ? std::string("\\") + c
                                                   : std::string(1, c);
      for (const std::string& name : names_of(option))
        text += fmt::format("        '{}[{}]{}' \\\n", name, help, value);
    }
    text += "        '*:VM:'\n      ;;\n";
  }
  return text + "  esac\n}\n_umbra \"$@\"\n";
}

}  // namespace umbra::cmd
