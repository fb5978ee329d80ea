// SPDX-License-Identifier: Apache-2.0
#include "replication/measured.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>

#include "measure.hpp"

namespace umbra::bench {
namespace {

double seconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
}

/// Where the command's words go, on both outputs.
const std::string& words_file() {
  static const std::string name = fmt::format("/tmp/umbra-bench-{}.log", ::getpid());
  return name;
}

std::string words() {
  std::ifstream in(words_file());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

[[noreturn]] void become(const std::vector<std::string>& argv) {
  const int out = ::open(words_file().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  ::dup2(::open("/dev/null", O_RDONLY), 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
  std::vector<char*> pointers;
  for (const std::string& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  std::perror(pointers[0]);
  ::_exit(127);
}

std::optional<double> told_bytes(const std::string& text) {
  std::istringstream lines(text);
  std::optional<double> megabytes;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("bytes ")) megabytes = 1e-6 * std::stod(line.substr(6));
  return megabytes;
}

double figure(const Cost& cost, Aim::Of of) {
  switch (of) {
    case Aim::Of::cpu:
      return cost.cpu_s;
    case Aim::Of::wall:
      return cost.wall_s;
    case Aim::Of::bytes:
      return cost.megabytes.value_or(std::numeric_limits<double>::quiet_NaN());
  }
  return 0;
}

Cost median_of(const std::vector<Cost>& runs) {
  std::vector<double> cpu;
  std::vector<double> wall;
  std::vector<double> bytes;
  for (const Cost& run : runs) {
    cpu.push_back(run.cpu_s);
    wall.push_back(run.wall_s);
    if (run.megabytes) bytes.push_back(*run.megabytes);
  }
  Cost middle{median(cpu), median(wall), {}};
  if (!bytes.empty()) middle.megabytes = median(bytes);
  return middle;
}

std::string in_words(const Aim& aim, const Cost& own, const Cost& peer) {
  const double ratio = figure(peer, aim.of) / figure(own, aim.of);
  const char* unit = aim.of == Aim::Of::cpu ? "CPU" : aim.of == Aim::Of::wall ? "wall" : "bytes";
  return fmt::format("{} {:.2f}, aim {:.2f}: {}", unit, ratio, aim.least, ratio >= aim.least ? "met" : "MISSED");
}

}  // namespace

Cost cost_of(const std::vector<std::string>& argv) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // what a server forked is ours to wait for
  words_file();                        // named before the fork
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child == 0) become(argv);
  Cost cost;
  int child_status = 0;
  for (;;) {
    int status = 0;
    rusage used{};
    const pid_t ended = ::wait4(-1, &status, 0, &used);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) break;
    cost.cpu_s += seconds(used.ru_utime) + seconds(used.ru_stime);
    if (ended != child) continue;
    child_status = status;
    cost.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  const std::string said = words();
  ::unlink(words_file().c_str());
  if (child_status != 0)
    throw std::runtime_error(fmt::format("{} {} failed:\n{}", argv[0], argv.size() > 1 ? argv.back() : "", said));
  cost.megabytes = told_bytes(said);
  return cost;
}

Cost cost_of_shell(const std::string& script) {
  return cost_of({"bash", "-c", "set -e; " + script});
}

void prepare(const std::string& script) {
  cost_of_shell(script);
}

bool has_tool(const std::string& name) {
  try {
    cost_of({"sh", "-c", "command -v " + name});
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

Contender best_of(std::vector<Contender> settings) {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < settings.size(); ++i) {
    if (settings[i].before) settings[i].before();
    const double cpu = settings[i].run().cpu_s;
    if (cpu < least) best = i;
    least = std::min(least, cpu);
  }
  return std::move(settings[best]);
}

void compare(const std::string& title, std::vector<Contender> contenders, const std::vector<std::string>& missing,
             const std::vector<Aim>& aims, unsigned rounds) {
  std::vector<std::vector<Cost>> costs(contenders.size());
  for (unsigned round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const std::size_t who = (i + round) % contenders.size();
      if (contenders[who].before) contenders[who].before();
      costs[who].push_back(contenders[who].run());
    }
  }
  fmt::print("\n{:<44}{:>9}{:>9}{:>10}{:>9}{:>9}\n", title, "CPU s", "wall s", "MB", "CPU", "wall");
  const Cost own = median_of(costs[0]);
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    const Cost cost = median_of(costs[i]);
    const std::string bytes = cost.megabytes ? fmt::format("{:.1f}", *cost.megabytes) : "-";
    fmt::print("  {:<42}{:>9.3f}{:>9.3f}{:>10}{:>9.2f}{:>9.2f}", contenders[i].name, cost.cpu_s, cost.wall_s, bytes,
               cost.cpu_s / own.cpu_s, cost.wall_s / own.wall_s);
    for (const Aim& aim : aims)
      if (contenders[i].name.starts_with(aim.what)) fmt::print("   {}", in_words(aim, own, cost));
    fmt::print("\n");
  }
  for (const std::string& peer : missing) fmt::print("  {:<42}missing\n", peer);
  std::fflush(stdout);
}

}  // namespace umbra::bench
