// SPDX-License-Identifier: Apache-2.0
#include "replication/pass.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

#include "adapters/nbd/local_points.hpp"
#include "adapters/nbd/source.hpp"
#include "adapters/stream/stream.hpp"
#include "base/error.hpp"
#include "ports/delta.hpp"
#include "replication/images.hpp"

namespace umbra::bench {
namespace {

const model::ShadowId shadow{"bench"};
const model::VmName vm{"bench"};

std::string self() {
  std::array<char, 4096> path{};
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size());
  return {path.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

/// No host is asked for anything: the sources are open already.
class NoHosts final : public ports::Hypervisors {
 public:
  ports::Hypervisor& at(const model::HostName&) override { throw std::logic_error("no host here"); }
  std::vector<model::HostName> names() const override { return {}; }
};
class NoTransport final : public ports::Transport {
 public:
  std::unique_ptr<ports::PointStore> connect(const model::HostName&) override { throw std::logic_error("none here"); }
  std::unique_ptr<ports::BlockSource> open(const ports::NbdExport&) override { throw std::logic_error("none here"); }
  std::unique_ptr<ports::BlockSource> open(const model::HostName&, const ports::FileExport&) override {
    throw std::logic_error("none here");
  }
  std::unique_ptr<ports::MoveGuard> guard_move(const model::HostName&, const model::Uuid&,
                                               const std::vector<std::string>&) override {
    return nullptr;
  }
  bool end_guard(const model::HostName&, const model::Uuid&) override { return false; }
};

std::unique_ptr<ports::PointStore> store_of(const std::string& into, const std::string& way) {
  if (way == "local") return std::make_unique<nbd::LocalPoints>(into);
  if (way == "session") return stream::connect({self(), "--as", "far", into});
  const std::size_t port = way.rfind(':');
  return stream::connect({self(), "--as", "dial", way.substr(5, port - 5), way.substr(port + 1)});
}

int pass(const std::vector<std::string>& w) {
  ports::FileExport file{.path = w.at(1), .format = w.at(2), .bitmap = {}, .above = {}};
  if (w.at(3) != "-") file.bitmap = w.at(3);
  const auto store = store_of(w.at(4), w.at(5));
  NoHosts hosts;
  NoTransport transport;
  const base::CancelToken cancel;
  const ports::Context context{hosts, transport, base::system_clock(), cancel};
  std::vector<ports::PartSource> parts;
  parts.push_back(
      {model::DiskName("vda"), nbd::open_file(file), file.bitmap ? ports::Look::changed : ports::Look::all});
  const model::Ground ground = store->examine(shadow);
  if (ground.last == model::PointNumber{})
    store->create(shadow, vm, {{model::DiskName("vda"), parts[0].source->size()}});
  model::PointHeader header;
  header.shadow = shadow;
  header.vm = vm;
  header.taken_at = base::Instant(base::Millis{1'790'000'000'000});
  const ports::SentPoint sent = ports::send_point(context, *store, ground, header, std::move(parts), {});
  if (w.at(6) == "1") ports::require_equal(*store, shadow, vm, sent.info.number);
  fmt::print("bytes {}\n", sent.sent.value);
  return 0;
}

sockaddr_in address_of(const std::string& host, const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoul(port)));
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

int listen_once(const std::vector<std::string>& w) {
  const base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = address_of("0.0.0.0", w.at(1));
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 1) != 0)
    throw base::from_errno(errno, "listen");
  const base::UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  nbd::LocalPoints points(w.at(2));
  stream::serve(points, peer.get(), peer.get());
  return 0;
}

/// What ssh would do, without a cipher: bytes are spliced from and to the pipes.
int dial(const std::vector<std::string>& w) {
  const base::UniqueFd peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = address_of(w.at(1), w.at(2));
  if (::connect(peer.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw base::from_errno(errno, "connect");
  std::array<pollfd, 2> fds{{{STDIN_FILENO, POLLIN, 0}, {peer.get(), POLLIN, 0}}};
  constexpr std::size_t piece = 1u << 20;
  for (;;) {
    ::poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0 && ::splice(STDIN_FILENO, nullptr, peer.get(), nullptr, piece, SPLICE_F_MOVE) <= 0) {
      ::shutdown(peer.get(), SHUT_WR);
      fds[0].fd = -1;
      fds[0].revents = 0;
    }
    if (fds[1].revents != 0 && ::splice(peer.get(), nullptr, STDOUT_FILENO, nullptr, piece, SPLICE_F_MOVE) <= 0)
      return 0;
  }
}

int far(const std::vector<std::string>& w) {
  nbd::LocalPoints points(w.at(1));
  stream::serve(points, STDIN_FILENO, STDOUT_FILENO);
  return 0;
}

int verify(const std::vector<std::string>& w) {
  nbd::LocalPoints points(w.at(1));
  const model::VerifyReport report = points.verify(shadow, points.points(shadow).back().number, ports::Verify::whole);
  return report.sound() ? 0 : 1;
}

int make(const std::vector<std::string>& w) {
  make_raw(w.at(1), {std::stoull(w.at(2)) << 20, std::stoull(w.at(3)) << 20});
  return 0;
}

}  // namespace

int act_as(const std::vector<std::string>& words) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::string& role = words.at(0);
  if (role == "pass") return pass(words);
  if (role == "far") return far(words);
  if (role == "listen") return listen_once(words);
  if (role == "dial") return dial(words);
  if (role == "verify") return verify(words);
  if (role == "make") return make(words);
  throw std::invalid_argument(role);
}

void forget_second(const std::string& into) {
  const std::filesystem::path folder = std::filesystem::path(into) / "umbra" / shadow.get();
  std::filesystem::remove_all(folder / "point-000002");
  std::filesystem::remove(folder / "descriptions" / "point-000002.json");
}

}  // namespace umbra::bench
