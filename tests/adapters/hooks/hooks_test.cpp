// SPDX-License-Identifier: Apache-2.0
#include "adapters/hooks/hooks.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "adapters/store/fork.hpp"

namespace {

using namespace umbra;
namespace fs = std::filesystem;

/// A folder that goes with the test.
struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "umbra-hooks-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
  std::string script(const std::string& name, const std::string& body) const {
    std::ofstream(path / name) << "#!/bin/sh\n" << body << "\n";
    fs::permissions(path / name, fs::perms::owner_all);
    return (path / name).string();
  }
};

}  // namespace

TEST_CASE("only success of the fence command is proof, and the host is named to it") {
  Folder folder;
  const std::string script = folder.script("fence", "[ \"$1\" = alpha ]");
  const auto fence = hooks::fence({script, "{host}"}, {}, base::Millis{5000}, base::system_clock());
  CHECK(fence->fence(model::HostName("alpha")).ok);
  CHECK_FALSE(fence->fence(model::HostName("beta")).ok);
}

TEST_CASE("a fence that hangs ends with all that it started: a host may be up again by the time it would act") {
  Folder folder;
  const std::string told = (folder.path / "child").string();
  const std::string script = folder.script("hang", "sleep 600 & echo $! >" + told + "; wait");
  const auto fence = hooks::fence({script}, {}, base::Millis{2000}, base::system_clock());
  CHECK_FALSE(fence->fence(model::HostName("alpha")).ok);
  std::string pid;
  std::ifstream(told) >> pid;
  REQUIRE_FALSE(pid.empty());
  CHECK(
      base::wait_until(base::system_clock(), base::Millis{5000}, base::Millis{5}, [&] { return test::is_gone(pid); }));
}

TEST_CASE("a fence whose check never succeeds is no proof, one whose check does in the end is") {
  Folder folder;
  const model::HostName alpha("alpha");
  const std::string flag = (folder.path / "looks").string();
  const std::string second = folder.script("off", "echo $1 >> " + flag + "; [ $(grep -c alpha " + flag + ") -ge 2 ]");
  CHECK(hooks::fence({"true"}, {second, "{host}"}, base::Millis{10000}, base::system_clock())->fence(alpha).ok);
  CHECK_FALSE(hooks::fence({"true"}, {"false"}, base::Millis{500}, base::system_clock())->fence(alpha).ok);
  CHECK_FALSE(hooks::fence({"false"}, {second, "{host}"}, base::Millis{500}, base::system_clock())->fence(alpha).ok);
}
