// SPDX-License-Identifier: Apache-2.0
#pragma once
// A list of plain values that may grow long: its pages lie in a PagePool.

#include <cstring>
#include <type_traits>

#include "base/page_table.hpp"

namespace umbra::base {

template <class Value>
class PagedList {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  explicit PagedList(std::shared_ptr<PagePool> pool = PagePool::common()) : m_pages(0, std::move(pool)) {}

  std::size_t size() const { return m_size; }
  bool empty() const { return m_size == 0; }
  Value operator[](std::size_t at) const {
    return m_pages.read(at / per_page, [at](std::span<const std::byte> bytes) {
      Value value;
      std::memcpy(&value, bytes.data() + at % per_page * sizeof(Value), sizeof value);
      return value;
    });
  }
  Value back() const { return (*this)[m_size - 1]; }
  void push_back(const Value& value) {
    const std::size_t in_page = m_size % per_page;
    if (in_page == 0) m_pages.resize(m_pages.size() + 1);
    m_pages.write(m_size / per_page, per_page * sizeof(Value), [&](std::span<std::byte> bytes) {
      std::memcpy(bytes.data() + in_page * sizeof(Value), &value, sizeof value);
    });
    ++m_size;
  }

 private:
  static constexpr std::size_t per_page = (32u << 10) / sizeof(Value);
  PageTable m_pages;
  std::size_t m_size = 0;
};

}  // namespace umbra::base
