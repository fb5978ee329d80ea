// SPDX-License-Identifier: Apache-2.0
#pragma once
// One NBD connection through libnbd: its only owner, with errors as base::Error.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "model/ids.hpp"

struct nbd_handle;

namespace umbra::nbd {

/// Where an asynchronous request leaves its end. It and the request's buffer must stay in place until `done`, or until
/// the connection is closed.
struct Completion {
  bool done = false;
  int error = 0;  ///< errno
};

/// What a server says of the requests that it takes.
struct BlockSizes {
  std::uint64_t minimum = 1;  ///< offsets and lengths are multiples of it
  std::uint64_t maximum = 0;  ///< of what one request reads; a multiple of the preferred size, or at least the minimum
};

class Connection {
 public:
  Connection();
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // Before connecting.
  void want_context(const std::string& name);
  void want_description();
  /// The end of a disk whose size is no multiple of the server's smallest block is asked for as it is: some servers
  /// give it, libnbd would not ask.
  void allow_odd_end();

  /// Kind::unreachable where nothing answers there in time: a link that is cut during the handshake is not waited for.
  void connect_uri(const std::string& uri);
  void connect_socket(base::UniqueFd socket);

  model::ByteCount size() const;
  BlockSizes block_sizes() const;
  bool has_context(const std::string& name) const;
  std::string description() const;

  /// Per context: its name, then pairs {length, flags} from `offset` on.
  using Extents = std::function<void(const std::string& context, std::span<const std::uint32_t> pairs)>;
  void block_status(std::uint64_t offset, std::uint64_t length, const Extents& each) const;

  void read(std::uint64_t offset, std::span<std::byte> buffer);
  void start_read(std::uint64_t offset, std::span<std::byte> buffer, Completion& completion);
  void start_write(std::uint64_t offset, std::span<const std::byte> buffer, Completion& completion);
  void start_zero(std::uint64_t offset, std::uint64_t length, Completion& completion);
  /// Lets requests move on; returns when something happened, or nothing did for so long.
  void poll(base::Millis longest = base::Millis{-1});
  /// Lets requests move on as far as they can at once. Called while other work is done, it keeps the server busy.
  void nudge();
  /// What was written is on stable storage of the server.
  void flush();
  /// Takes leave of the server.
  void shut_down();
  /// Drops the connection with whatever is in flight: buffers and completions are free then.
  void close() noexcept;

 private:
  nbd_handle* handle() const;
  void shake_hands(base::Millis most);
  struct Closer {
    void operator()(nbd_handle* handle) const noexcept;
  };
  std::unique_ptr<nbd_handle, Closer> m_handle;
};

}  // namespace umbra::nbd
