// SPDX-License-Identifier: Apache-2.0
#pragma once
// A folder that goes with the test, and scripts in it.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "ports/switching.hpp"

namespace umbra::test {

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "umbra-traffic-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path); }
  std::string at(const std::string& name) const { return (path / name).string(); }
  std::string script(const std::string& name, const std::string& body) const {
    std::ofstream(path / name) << "#!/bin/sh\n" << body << "\n";
    std::filesystem::permissions(path / name, std::filesystem::perms::owner_all);
    return at(name);
  }
};

inline ports::Redirection to_beta(bool undo = false) {
  return {R"({"vm":1})", model::HostName("alpha"), model::HostName("beta"), undo};
}
inline ports::Redirection to_alpha(bool undo = true) {
  return {R"({"vm":1})", model::HostName("beta"), model::HostName("alpha"), undo};
}

}  // namespace umbra::test
