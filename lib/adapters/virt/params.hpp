// SPDX-License-Identifier: Apache-2.0
#pragma once
// A list of libvirt's typed parameters, owned.

#include <cstdint>
#include <optional>
#include <string>

struct _virTypedParameter;

namespace umbra::virt {

class TypedParams {
 public:
  TypedParams() = default;
  TypedParams(TypedParams&& other) noexcept;
  TypedParams& operator=(TypedParams&&) = delete;
  ~TypedParams();

  /// A name may be added several times where libvirt takes a list.
  void add(const char* name, const std::string& value);
  void add(const char* name, unsigned long long value);
  void add(const char* name, int value);

  /// A number of any of libvirt's integer types; nothing where the name is absent.
  std::optional<std::uint64_t> number(const char* name) const;

  _virTypedParameter* data() { return m_list; }
  unsigned count() const { return static_cast<unsigned>(m_count); }
  /// For calls that allocate the list.
  _virTypedParameter** receive_list() { return &m_list; }
  int* receive_count() { return &m_count; }

 private:
  _virTypedParameter* m_list = nullptr;
  int m_count = 0;
  int m_room = 0;
};

/// The same of a list that another owns.
std::optional<std::uint64_t> number_in(const _virTypedParameter* list, int count, const char* name);

}  // namespace umbra::virt
