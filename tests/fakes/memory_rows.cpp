// SPDX-License-Identifier: Apache-2.0
// What the state store would hold.
#include "base/error.hpp"
#include "fakes/memory_lab.hpp"

namespace umbra::fakes {

using base::Error;
using base::Kind;

void MemoryShadows::put(const ports::ShadowRow& row) {
  if (fail_put) throw Error(Kind::io, "the state store can't be written");
  m_rows[row.vm_uuid] = row;
}

std::optional<ports::ShadowRow> MemoryShadows::find(const model::VmName& vm) {
  for (const auto& [uuid, row] : m_rows) {
    if (row.vm == vm) return row;
  }
  return std::nullopt;
}

std::vector<ports::ShadowRow> MemoryShadows::all() {
  std::vector<ports::ShadowRow> rows;
  for (const auto& [uuid, row] : m_rows) rows.push_back(row);
  return rows;
}

void MemoryShadows::remove(const model::Uuid& vm_uuid) {
  m_rows.erase(vm_uuid);
}

std::vector<ports::PoolRow> MemoryPool::all() {
  std::vector<ports::PoolRow> rows;
  for (const auto& [id, row] : m_rows) rows.push_back(row);
  return rows;
}

}  // namespace umbra::fakes
