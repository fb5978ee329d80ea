// SPDX-License-Identifier: Apache-2.0
// Which calls of the lab fail.
#include "base/error.hpp"
#include "fakes/memory_lab.hpp"

namespace umbra::fakes {

using base::Error;
using base::Kind;

void MemoryLab::call(const std::string& name) {
  ++m_counts[name];
  if (on_call) on_call(name);
  const unsigned index = m_calls++;
  if ((m_fail_at && *m_fail_at == index) || (!m_fail_name.empty() && m_fail_name == name)) {
    m_failed = true;
    throw Error(m_fail_kind, "made to fail: " + name);
  }
}

void MemoryLab::fail_call(unsigned nth, base::Kind kind) {
  m_fail_at = m_calls + nth;
  m_fail_kind = kind;
  m_failed = false;
}

void MemoryLab::fail_named(const std::string& name, base::Kind kind) {
  m_fail_name = name;
  m_fail_kind = kind;
  m_failed = false;
}

void MemoryLab::forget_failures() {
  m_fail_at.reset();
  m_fail_name.clear();
}

unsigned MemoryLab::count_of(const std::string& name) const {
  const auto it = m_counts.find(name);
  return it == m_counts.end() ? 0 : it->second;
}

}  // namespace umbra::fakes
