// SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory that begins at a page: what a disk may be read into without the kernel's cache between.

#include <cstddef>
#include <new>

namespace umbra::base {

/// For std::vector. Elements that are not given a value are left as they are: whoever reads into them fills them.
template <class T>
struct PageAligned {
  using value_type = T;
  static constexpr std::align_val_t page{4096};

  PageAligned() = default;
  template <class U>
  PageAligned(const PageAligned<U>&) noexcept {}

  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), page)); }
  void deallocate(T* at, std::size_t) noexcept { ::operator delete(at, page); }
  template <class U>
  void construct(U*) noexcept {}
  template <class U, class... Args>
  void construct(U* at, Args&&... args) {
    ::new (static_cast<void*>(at)) U(static_cast<Args&&>(args)...);
  }
  bool operator==(const PageAligned&) const = default;
};

}  // namespace umbra::base
