// SPDX-License-Identifier: Apache-2.0
#include "cmd/keepalive.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "adapters/virt/keepalive.hpp"
#include "base/error.hpp"
#include "base/process.hpp"
#include "cmd/session.hpp"
#include "model/record_json.hpp"

namespace umbra::cmd {
namespace {

using virt::Keepalive;

/// A guest stands still no longer than that, whatever is cut.
constexpr base::Seconds longest{6};
/// A source whose keepalive gave up earlier would let its guest go on before Umbra has ended that half.
constexpr base::Seconds shortest{4};
constexpr base::Millis answer_deadline{15'000};
constexpr const char* what_to_set = "keepalive_interval = 1 and keepalive_count = 4";

/// By file; what can't be read is left out, with the reason.
struct Answer {
  std::map<std::string, Keepalive> files;
  std::string unknown;
};

Answer ask(const model::HostConfig& host) {
  if (!host.tls_address.empty() && host.receive.empty()) return {{}, "its far end takes points alone"};
  base::Argv argv = far_end(host);
  argv.emplace_back("--keepalive");
  const base::Finished told = base::run(argv, "", answer_deadline);
  if (told.status != 0) return {{}, fmt::format("`{}` ended with {}", base::to_shell(argv), told.status)};
  Answer answer;
  for (const model::Json& file : model::Json::parse(told.out)) {
    if (file.contains("interval"))
      answer.files[file.at("file")] = {file.at("interval").get<int>(), file.at("count").get<int>()};
    else
      answer.unknown += (answer.unknown.empty() ? "" : "; ") + file.at("unknown").get<std::string>();
  }
  return answer;
}

Answer asked(const model::HostConfig& host) {
  try {
    return base::as_error([&] { return ask(host); });
  } catch (const base::Error& e) {
    return {{}, e.what()};
  }
}

bool is_too_slow(const Keepalive& keepalive) {
  const auto after = keepalive.gives_up_after();
  return !after || *after > longest;
}

bool is_too_fast(const Keepalive& keepalive) {
  const auto after = keepalive.gives_up_after();
  return after && *after < shortest;
}

KeepaliveFinding finding_of(const Answer& answer, bool differ) {
  KeepaliveFinding finding;
  std::string wrong;
  std::string_view why = "; a link cut as a guest arrives holds it so long";
  for (const auto& [file, keepalive] : answer.files) {
    const auto after = keepalive.gives_up_after();
    finding.found += fmt::format("{}{}: {}", finding.found.empty() ? "a silent peer is given up by " : ", by ", file,
                                 after ? base::to_human(*after) : "never");
    if (is_too_fast(keepalive)) why = "; a link cut as a guest arrives could let it go on at the source";
    if (is_too_fast(keepalive) || is_too_slow(keepalive) || differ) wrong += (wrong.empty() ? "" : ", ") + file;
  }
  if (!answer.unknown.empty())
    finding.found += fmt::format("{}unknown: {}", finding.found.empty() ? "" : "; ", answer.unknown);
  if (wrong.empty()) return finding;
  finding.found += differ ? "; not the same on all hosts" : why;
  finding.fix =
      fmt::format("set {} in {} of /etc/libvirt, the same on all hosts, then restart the daemon (guests go on)",
                  what_to_set, wrong);
  return finding;
}

}  // namespace

std::string keepalive_answer() {
  model::Json files = model::Json::array();
  for (const virt::KeepaliveFile& file : virt::keepalive_files()) {
    if (file.set)
      files.push_back({{"file", file.name}, {"interval", file.set->interval_s}, {"count", file.set->count}});
    else
      files.push_back({{"file", file.name}, {"unknown", file.why_not}});
  }
  return model::to_text(files);
}

std::map<model::HostName, KeepaliveFinding> keepalive_findings(const model::Config& config) {
  std::map<model::HostName, Answer> answers;
  std::set<std::pair<int, int>> seen;
  for (const model::HostConfig& host : config.hosts) {
    if (!host.uri.starts_with("qemu")) continue;
    const Answer& answer = answers.emplace(host.name, asked(host)).first->second;
    for (const auto& [file, keepalive] : answer.files) seen.emplace(keepalive.interval_s, keepalive.count);
  }
  std::map<model::HostName, KeepaliveFinding> findings;
  for (const auto& [host, answer] : answers) findings.emplace(host, finding_of(answer, seen.size() > 1));
  return findings;
}

}  // namespace umbra::cmd
