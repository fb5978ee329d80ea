// SPDX-License-Identifier: Apache-2.0
#include "cmd/verb.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/text.hpp"
#include "model/units.hpp"

namespace umbra::cmd {

std::function<void(const std::string&)> set_flag(bool& target) {
  return [&target](const std::string&) { target = true; };
}

std::function<void(const std::string&)> set_text(std::string& target) {
  return [&target](const std::string& text) { target = text; };
}

std::function<void(const std::string&)> set_list(std::vector<std::string>& target) {
  return [&target](const std::string& text) {
    target.clear();
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t end = std::min(text.find(',', at), text.size());
      if (end > at) target.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  };
}

std::function<void(const std::string&)> set_duration(std::string option, std::optional<base::Seconds>& target) {
  return [option = std::move(option), &target](const std::string& text) {
    target = base::parse_duration(text);
    if (!target) {
      throw base::Error(base::Kind::usage, fmt::format("{} takes a duration, not \"{}\"", option, text),
                        "write it with its unit: 500ms, 30s, 15m, 2h, 1d");
    }
  };
}

std::function<void(const std::string&)> set_number(std::string option, std::optional<double>& target, double least,
                                                   double most) {
  return [option = std::move(option), &target, least, most](const std::string& text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !(value >= least && value <= most)) {
      throw base::Error(base::Kind::usage,
                        fmt::format("{} takes a number from {} to {}, not \"{}\"", option, least, most, text));
    }
    target = value;
  };
}

std::function<void(const std::string&)> set_count(std::string option, std::optional<unsigned>& target, unsigned least) {
  return [option = std::move(option), &target, least](const std::string& text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least) {
      throw base::Error(base::Kind::usage,
                        fmt::format("{} takes a whole number of at least {}, not \"{}\"", option, least, text));
    }
    target = value;
  };
}

std::function<void(const std::string&)> set_rate(std::string option, std::optional<model::ByteRate>& target) {
  return [option = std::move(option), &target](const std::string& text) {
    target = model::parse_rate(text);
    if (!target) {
      throw base::Error(base::Kind::usage, fmt::format("{} takes a rate, not \"{}\"", option, text),
                        "write it with its unit: 100MiB/s, 1Gbit/s");
    }
  };
}

std::function<void(const std::string&)> set_choice(std::string option, std::string& target,
                                                   std::vector<std::string> choices) {
  return [option = std::move(option), &target, choices = std::move(choices)](const std::string& text) {
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      throw base::Error(base::Kind::usage,
                        fmt::format("{} takes one of {}, not \"{}\"", option, fmt::join(choices, ", "), text));
    }
    target = text;
  };
}

void need_folder(const std::string& dir) {
  if (std::filesystem::is_directory(dir)) return;
  if (std::filesystem::exists(dir))
    throw base::Error(base::Kind::invalid, dir + " is no folder", "name a folder, or make one under another name");
  throw base::Error(base::Kind::not_found, fmt::format("there is no folder {}", dir),
                    "mkdir -p " + base::shell_word(dir));
}

std::vector<Option> tls_options(model::TlsFiles& files, const std::string& when) {
  return {
      {"--ca", "FILE", when + ": certificates of the CA that the other side's is from", "", set_text(files.ca)},
      {"--cert", "FILE", when + ": this side's own certificate", "", set_text(files.cert)},
      {"--key", "FILE", when + ": its key", "", set_text(files.key)},
      {"--crl", "FILE", when + ": what the CA, and each CA below it, has revoked", "", set_text(files.crl)},
      {"--key-file", "FILE", when + ": instead of these, a key that both sides have: identity:hex, or random bytes", "",
       set_text(files.key_file)},
  };
}

std::vector<Verb> verbs() {
  return {
      predict_verb(), place_verb(),   shadow_verb(), replicate_verb(), sync_verb(),   decide_verb(),  switchover_verb(),
      pool_verb(),    observe_verb(), model_verb(),  status_verb(),    doctor_verb(), receive_verb(),
  };
}

}  // namespace umbra::cmd
