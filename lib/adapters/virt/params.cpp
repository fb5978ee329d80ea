// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/params.hpp"

#include <libvirt/libvirt.h>
#include <cstring>
#include <utility>

#include "adapters/virt/errors.hpp"

namespace umbra::virt {

TypedParams::TypedParams(TypedParams&& other) noexcept
    : m_list(std::exchange(other.m_list, nullptr)),
      m_count(std::exchange(other.m_count, 0)),
      m_room(std::exchange(other.m_room, 0)) {}

TypedParams::~TypedParams() {
  virTypedParamsFree(m_list, m_count);
}

void TypedParams::add(const char* name, const std::string& value) {
  check(virTypedParamsAddString(&m_list, &m_count, &m_room, name, value.c_str()), name);
}

void TypedParams::add(const char* name, unsigned long long value) {
  check(virTypedParamsAddULLong(&m_list, &m_count, &m_room, name, value), name);
}

void TypedParams::add(const char* name, int value) {
  check(virTypedParamsAddInt(&m_list, &m_count, &m_room, name, value), name);
}

std::optional<std::uint64_t> TypedParams::number(const char* name) const {
  return number_in(m_list, m_count, name);
}

std::optional<std::uint64_t> number_in(const _virTypedParameter* list, int count, const char* name) {
  for (int i = 0; i < count; ++i) {
    if (std::strcmp(list[i].field, name) != 0) continue;
    switch (list[i].type) {
      case VIR_TYPED_PARAM_INT:
        return static_cast<std::uint64_t>(list[i].value.i);
      case VIR_TYPED_PARAM_UINT:
        return list[i].value.ui;
      case VIR_TYPED_PARAM_LLONG:
        return static_cast<std::uint64_t>(list[i].value.l);
      case VIR_TYPED_PARAM_ULLONG:
        return list[i].value.ul;
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace umbra::virt
