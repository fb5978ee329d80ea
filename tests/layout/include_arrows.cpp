// SPDX-License-Identifier: Apache-2.0
// The arrows of the layout, checked on the #include lines: features -> ports -> model -> base; adapters -> ports,
// model, base; cmd -> everything; switchover alone may use replicate and sync.

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Rooms = std::set<std::string>;

const std::map<std::string, Rooms> allowed{
    {"base", {"base"}},
    {"model", {"base", "model"}},
    {"ports", {"base", "model", "ports"}},
    {"predict", {"base", "model", "ports", "predict"}},
    {"place", {"base", "model", "ports", "place"}},
    {"decide", {"base", "model", "ports", "decide"}},
    {"pool", {"base", "model", "ports", "pool"}},
    {"shadow", {"base", "model", "ports", "shadow"}},
    {"replicate", {"base", "model", "ports", "replicate"}},
    {"sync", {"base", "model", "ports", "sync"}},
    {"switchover", {"base", "model", "ports", "switchover", "replicate", "sync"}},
};
const std::set<std::string> pure{"predict", "place", "decide", "pool"};
const std::set<std::string> impure_headers{"fstream",     "iostream",     "cstdio",          "thread", "unistd.h",
                                           "fcntl.h",     "sys/stat.h",   "filesystem",      "random", "ctime",
                                           "base/fd.hpp", "base/log.hpp", "base/process.hpp"};
/// The files of cmd/ that join ports with adapters, or examine what an adapter stands on.
const std::set<std::string> joints{"session.cpp",  "doctor.cpp",      "keepalive.cpp", "guard.cpp",
                                   "predict.cpp",  "receive.cpp",     "sources.cpp",   "train.cpp",
                                   "backtest.cpp", "forecasters.cpp", "start_hook.cpp"};

/// The room that a path below lib/ belongs to: "replicate", "adapters/nbd".
std::string room_of(const fs::path& below_lib) {
  auto it = below_lib.begin();
  std::string room = it->string();
  if (room == "adapters") room += "/" + (++it)->string();
  return room;
}

/// What is wrong with `room` including `header`; nothing where it may.
std::optional<std::string> objection(const std::string& room, const std::string& header) {
  if (pure.contains(room) && impure_headers.contains(header)) return room + " is pure and includes <" + header + ">";
  const fs::path path(header);
  if (std::distance(path.begin(), path.end()) < 2) return std::nullopt;
  const std::string target = room_of(path);
  if (!allowed.contains(target) && !target.starts_with("adapters/")) return std::nullopt;  // a foreign header
  const bool adapter = room.starts_with("adapters/");
  const Rooms may = adapter ? Rooms{"base", "model", "ports", room} : allowed.at(room);
  if (may.contains(target)) return std::nullopt;
  return room + " includes " + header;
}

std::vector<std::string> includes_of(const fs::path& file) {
  static const std::regex line_form(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"])re");
  std::vector<std::string> headers;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (std::regex_search(line, match, line_form)) headers.push_back(match[1]);
  }
  return headers;
}

}  // namespace

TEST_CASE("no file of lib/ includes against the arrows") {
  const fs::path lib = fs::path(UMBRA_SOURCE_DIR) / "lib";
  std::size_t looked_at = 0;
  for (const auto& entry : fs::recursive_directory_iterator(lib)) {
    const std::string extension = entry.path().extension();
    if (extension != ".hpp" && extension != ".cpp") continue;
    const std::string room = room_of(fs::relative(entry.path(), lib));
    INFO(entry.path().string());
    REQUIRE((allowed.contains(room) || room.starts_with("adapters/")));
    for (const std::string& header : includes_of(entry.path())) {
      ++looked_at;
      CHECK(objection(room, header).value_or("") == "");
    }
  }
  CHECK(looked_at > 100);
}

TEST_CASE("in cmd/ adapters are named where they are joined, and nowhere else") {
  const fs::path cmd = fs::path(UMBRA_SOURCE_DIR) / "cmd";
  for (const auto& entry : fs::recursive_directory_iterator(cmd)) {
    if (!entry.is_regular_file()) continue;
    const std::vector<std::string> headers = includes_of(entry.path());
    const bool names =
        std::any_of(headers.begin(), headers.end(), [](const auto& h) { return h.starts_with("adapters/"); });
    INFO(entry.path().string());
    CHECK(names == joints.contains(entry.path().filename().string()));
  }
}

TEST_CASE("a forbidden arrow is recognised") {
  CHECK(objection("replicate", "adapters/nbd/source.hpp"));
  CHECK(objection("place", "decide/decide.hpp"));
  CHECK(objection("model", "ports/store.hpp"));
  CHECK(objection("base", "model/ids.hpp"));
  CHECK(objection("adapters/virt", "adapters/nbd/source.hpp"));
  CHECK(objection("adapters/virt", "replicate/replicate.hpp"));
  CHECK(objection("place", "fstream"));
  CHECK(objection("decide", "base/log.hpp"));
  CHECK_FALSE(objection("switchover", "replicate/replicate.hpp"));
  CHECK_FALSE(objection("switchover", "nlohmann/json.hpp"));
  CHECK(objection("sync", "replicate/replicate.hpp"));
}
