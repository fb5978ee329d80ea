// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/export.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>
#include <vector>

#include "adapters/nbd/nbd_source.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "adapters/nbd/source.hpp"
#include "base/error.hpp"
#include "base/thread.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

constexpr std::size_t relay_buffer = 256u << 10;
constexpr base::Millis between_looks{100};  // at whether a stop was asked for: it may come between two calls

void check_bitmap(const ports::FileExport& file) {
  for (const qemu_img::Bitmap& bitmap : qemu_img::info(file.path).bitmaps) {
    if (bitmap.name != *file.bitmap) continue;
    if (bitmap.in_use)
      throw Error(Kind::corrupt, fmt::format("the bitmap {} in {} is inconsistent", bitmap.name, file.path));
    return;
  }
  throw Error(Kind::not_found, fmt::format("{} holds no bitmap {}", file.path, *file.bitmap));
}

std::uint32_t depth_in_chain(const ports::FileExport& file) {
  std::uint32_t depth = 0;
  for (const qemu_img::Info& layer : qemu_img::chain(file.path)) {
    ++depth;
    std::error_code ignored;
    if (fs::equivalent(layer.file, *file.above, ignored)) return depth;
  }
  throw Error(Kind::invalid, fmt::format("{} is not in the chain of {}", *file.above, file.path),
              fmt::format("look at the chain: qemu-img info -U --backing-chain {}", file.path));
}

void tell_changes(const ports::FileExport& file, ServeOptions& options) {
  if (file.bitmap) {
    check_bitmap(file);
    options.bitmap = file.bitmap;
  } else if (file.above) {
    options.description = depth_description(depth_in_chain(file));
    options.allocation_depth = true;
  }
}

/// Copies until `from` ends or `to` is gone.
void copy_bytes(int from, int to) noexcept {
  std::vector<std::byte> buffer(relay_buffer);
  for (;;) {
    const ssize_t n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    for (ssize_t done = 0; done < n;) {
      const ssize_t m = ::write(to, buffer.data() + done, static_cast<std::size_t>(n - done));
      if (m < 0 && errno == EINTR) continue;
      if (m <= 0) return;
      done += m;
    }
  }
}

/// The server's bytes on the way out, on a thread of its own: neither way can hold up the other.
class WayOut {
 public:
  WayOut(int socket, int out_fd) : m_socket(socket) {
    m_thread = base::thread_without_signals([socket, out_fd] {
      copy_bytes(socket, out_fd);
      ::shutdown(socket, SHUT_RDWR);
    });
  }
  ~WayOut() {
    ::shutdown(m_socket, SHUT_RDWR);
    m_thread.join();
  }
  void finish() {
    m_thread.join();
    m_thread = std::thread([] {});
  }

 private:
  int m_socket;
  std::thread m_thread;
};

/// Carries bytes both ways; returns when either side has ended.
void relay(int in_fd, int out_fd, int socket, const base::CancelToken& cancel) {
  WayOut way_out(socket, out_fd);
  std::vector<std::byte> buffer(relay_buffer);
  for (;;) {
    std::array<pollfd, 2> fds{{{in_fd, POLLIN, 0}, {socket, POLLRDHUP, 0}}};
    cancel.check();
    if (::poll(fds.data(), fds.size(), static_cast<int>(between_looks.count())) < 0) {
      if (errno == EINTR) continue;
      throw base::from_errno(errno, "poll");
    }
    if (fds[1].revents != 0) break;
    if (fds[0].revents == 0) continue;
    const ssize_t n = ::read(in_fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    base::write_all(socket, std::span(buffer).first(static_cast<std::size_t>(n)), {}, "the NBD server's socket",
                    &cancel);
  }
  ::shutdown(socket, SHUT_WR);  // qemu-nbd ends with its client, then the way out ends
  way_out.finish();
}

ServeOptions options_of(const ports::FileExport& file) {
  if (!fs::exists(file.path)) throw Error(Kind::not_found, fmt::format("no file {}", file.path));
  return {.path = file.path, .format = file.format};
}

}  // namespace

std::unique_ptr<ports::BlockSource> open_file(const ports::FileExport& file) {
  ServeOptions options = options_of(file);
  if (file.format == "raw" && !file.bitmap && !file.above) return open_raw(file.path);
  tell_changes(file, options);
  auto server = std::make_shared<QemuNbd>(options);
  const std::string context = dirty_context_of(file);
  Connection connection;
  prepare(connection, context);
  server->connect(connection);
  return std::make_unique<NbdSource>(std::move(connection), context, std::any(std::move(server)));
}

int serve_file(const ports::FileExport& file, int in_fd, int out_fd, const base::CancelToken& cancel) {
  ServeOptions options = options_of(file);
  if (file.format == "raw" && fs::is_regular_file(file.path))
    options.description = size_description({fs::file_size(file.path)});
  try {
    tell_changes(file, options);
  } catch (const Error& e) {
    // The reader learns why, and what kind of failure it is, where a mere end of the connection would tell nothing.
    options.description = failure_description(e);
    options.format = "raw";  // nothing is read; any file opens so
  }
  QemuNbd server(options);
  {
    const base::UniqueFd socket = server.take_socket();
    relay(in_fd, out_fd, socket.get(), cancel);
  }
  // A reader that was killed before it had shaken hands is none to qemu-nbd, which would go on waiting for one and keep
  // the file locked.
  if (!server.ended_within(base::Millis{200})) return 0;  // it is ended with this object: it only reads
  server.finish();
  return 0;
}

}  // namespace umbra::nbd
