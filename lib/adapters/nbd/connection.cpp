// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/connection.hpp"

#include <fmt/core.h>
#include <libnbd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "base/error.hpp"
#include "base/socket.hpp"

namespace umbra::nbd {
namespace {

using base::Error;
using base::Kind;

constexpr base::Millis longest_handshake{30'000};
constexpr base::Millis longest_start{120'000};      // of a command that may have to reach another host first
constexpr std::uint64_t usual_maximum = 32u << 20;  // where a server tells none, by the protocol

/// libnbd's last error on this thread.
Error last_error(const std::string& what) {
  const int number = nbd_get_errno();
  const char* text = nbd_get_error();
  const std::string message = fmt::format("{}: {}", what, text == nullptr ? "unknown error" : text);
  if (number == ENOSPC || number == EDQUOT) return base::from_errno(number, what);
  if (number == ENOTCONN || number == ECONNRESET || number == EPIPE || number == ETIMEDOUT)
    return {Kind::unreachable, message};
  return {Kind::io, message};
}

template <class Result>
Result check(Result result, const char* what) {
  if (result == -1) throw last_error(what);
  return result;
}

int completed(void* user_data, int* error) noexcept {
  auto& completion = *static_cast<Completion*>(user_data);
  completion.error = *error;
  completion.done = true;
  return 1;  // libnbd retires the request by itself
}

nbd_completion_callback to(Completion& completion) {
  completion = {};
  return {.callback = completed, .user_data = &completion, .free = nullptr};
}

struct StatusCall {
  const Connection::Extents& each;
  std::exception_ptr failure;
};

int got_extents(void* user_data, const char* context, std::uint64_t, std::uint32_t* entries, std::size_t count,
                int* error) noexcept {
  auto& call = *static_cast<StatusCall*>(user_data);
  try {
    call.each(context, {entries, count});
    return 0;
  } catch (...) {
    call.failure = std::current_exception();
    *error = EPROTO;
    return -1;
  }
}

}  // namespace

void Connection::Closer::operator()(nbd_handle* handle) const noexcept {
  nbd_close(handle);
}

Connection::Connection() : m_handle(nbd_create()) {
  if (!m_handle) throw last_error("create an NBD handle");
  // Else libnbd clears each buffer before it reads into it. What a failed read left is never looked at here.
  check(nbd_set_pread_initialize(handle(), false), "set up an NBD handle");
}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

nbd_handle* Connection::handle() const {
  if (!m_handle) throw Error(Kind::internal, "an NBD connection is used after it was closed");
  return m_handle.get();
}

void Connection::want_context(const std::string& name) {
  check(nbd_add_meta_context(handle(), name.c_str()), "ask for an NBD context");
}

void Connection::want_description() {
  check(nbd_set_full_info(handle(), true), "ask for the export's description");
}

void Connection::allow_odd_end() {
  const auto mode = static_cast<std::uint32_t>(nbd_get_strict_mode(handle()));
  check(nbd_set_strict_mode(handle(), mode & ~std::uint32_t{LIBNBD_STRICT_ALIGN}), "set up an NBD handle");
}

void Connection::shake_hands(base::Millis most) {
  const base::Millis end = base::system_clock().steady() + most;
  while (nbd_aio_is_connecting(handle()) == 1) {
    const base::Millis left = end - base::system_clock().steady();
    if (left.count() <= 0)
      throw Error(Kind::unreachable, fmt::format("it does not go on within {}", base::to_human(most)));
    poll(left);
  }
  if (nbd_aio_is_ready(handle()) != 1) throw last_error("connect");
}

void Connection::connect_uri(const std::string& uri) {
  try {
    check(nbd_aio_connect_uri(handle(), uri.c_str()), "connect");
    shake_hands(longest_handshake);
  } catch (const Error& cause) {
    throw Error(Kind::unreachable, fmt::format("no NBD export answers at {}: {}", uri, cause.message()));
  }
  base::notice_a_dead_link(nbd_aio_get_fd(handle()));
}

void Connection::connect_socket(base::UniqueFd socket) {
  try {
    check(nbd_aio_connect_socket(handle(), socket.release()), "connect");
    shake_hands(longest_start);
  } catch (const Error& cause) {
    throw Error(Kind::unreachable, fmt::format("the NBD handshake failed: {}", cause.message()));
  }
}

model::ByteCount Connection::size() const {
  return {static_cast<std::uint64_t>(check(nbd_get_size(handle()), "ask for the export's size"))};
}

BlockSizes Connection::block_sizes() const {
  const auto told = [&](int which, std::uint64_t otherwise) {
    const std::int64_t bytes = nbd_get_block_size(handle(), which);
    return bytes > 0 ? static_cast<std::uint64_t>(bytes) : otherwise;
  };
  BlockSizes sizes;
  sizes.minimum = told(LIBNBD_SIZE_MINIMUM, 1);
  const std::uint64_t preferred = std::max(told(LIBNBD_SIZE_PREFERRED, 1), sizes.minimum);
  sizes.maximum = told(LIBNBD_SIZE_MAXIMUM, usual_maximum);
  const std::uint64_t unit = preferred <= sizes.maximum ? preferred : sizes.minimum;
  sizes.maximum = std::max(sizes.minimum, sizes.maximum - sizes.maximum % unit);
  return sizes;
}

bool Connection::has_context(const std::string& name) const {
  return check(nbd_can_meta_context(handle(), name.c_str()), "ask for an NBD context") == 1;
}

std::string Connection::description() const {
  // An export without one is reported as an error by libnbd.
  const std::unique_ptr<char, decltype(&::free)> text(nbd_get_export_description(handle()), &::free);
  return text ? text.get() : "";
}

void Connection::block_status(std::uint64_t offset, std::uint64_t length, const Extents& each) const {
  StatusCall call{each, nullptr};
  const nbd_extent_callback callback{.callback = got_extents, .user_data = &call, .free = nullptr};
  const int result = nbd_block_status(handle(), length, offset, callback, 0);
  if (call.failure) std::rethrow_exception(call.failure);
  check(result, "read the export's extents");
}

void Connection::read(std::uint64_t offset, std::span<std::byte> buffer) {
  check(nbd_pread(handle(), buffer.data(), buffer.size(), offset, 0), "read");
}

void Connection::start_read(std::uint64_t offset, std::span<std::byte> buffer, Completion& completion) {
  check(nbd_aio_pread(handle(), buffer.data(), buffer.size(), offset, to(completion), 0), "read");
}

void Connection::start_write(std::uint64_t offset, std::span<const std::byte> buffer, Completion& completion) {
  check(nbd_aio_pwrite(handle(), buffer.data(), buffer.size(), offset, to(completion), 0), "write");
}

void Connection::start_zero(std::uint64_t offset, std::uint64_t length, Completion& completion) {
  check(nbd_aio_zero(handle(), length, offset, to(completion), 0), "write zeroes");
}

void Connection::poll(base::Millis longest) {
  check(nbd_poll(handle(), static_cast<int>(longest.count())), "wait for the NBD server");
}

void Connection::nudge() {
  check(nbd_poll(handle(), 0), "wait for the NBD server");
}

void Connection::flush() {
  check(nbd_flush(handle(), 0), "flush");
}

void Connection::shut_down() {
  check(nbd_shutdown(handle(), 0), "disconnect");
}

void Connection::close() noexcept {
  m_handle.reset();
}

}  // namespace umbra::nbd
