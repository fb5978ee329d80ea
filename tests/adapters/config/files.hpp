// SPDX-License-Identifier: Apache-2.0
#pragma once
// A system whose configuration a test writes.

#include <string>

#include "adapters/config/config.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::test {

class System {
 public:
  System() {
    environment.system_config = m_dir / "etc";
    environment.system_state = m_dir / "var";
    environment.root = true;
  }

  std::string path(const std::string& name) const { return (m_dir / name).string(); }

  std::string write(const std::string& name, const std::string& text) {
    const auto file = m_dir / name;
    std::filesystem::create_directories(file.parent_path());
    base::write_file_atomic(file, text);
    return file.string();
  }

  model::Config load() const { return config::load(options, environment); }

  base::Error failure() const {
    try {
      load();
    } catch (const base::Error& e) {
      return e;
    }
    return base::Error(base::Kind::internal, "it was loaded");
  }

  config::Options options;
  config::Environment environment;

 private:
  TempDir m_dir;
};

inline model::Origin origin_of(const model::Config& config, const std::string& key) {
  for (const model::Origin& origin : config.origins) {
    if (origin.key == key) return origin;
  }
  return {};
}

}  // namespace umbra::test
