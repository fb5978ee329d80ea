// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a power loss would leave. While it lives, SQLite's files are copied at each fsync: the copies hold what was
// synced and nothing that was only written.

#include <filesystem>

namespace umbra::test {

class PowerLoss {
 public:
  explicit PowerLoss(std::filesystem::path synced);
  ~PowerLoss();
  PowerLoss(const PowerLoss&) = delete;
  PowerLoss& operator=(const PowerLoss&) = delete;
  /// A state folder as it would be found after losing power now.
  std::filesystem::path after();

 private:
  std::filesystem::path m_synced;
  int m_losses = 0;
};

}  // namespace umbra::test
