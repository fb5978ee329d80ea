// SPDX-License-Identifier: Apache-2.0
// What runs inside the guest. Ports: 7 echo (TCP and UDP); 9 numbered writes, one per line received, answered by the
// number once it is synced; 10 the newest synced number; 11 one line of JSON about the guest; 12 commands, one per
// line.
#include "guestd.hpp"
#include "load.hpp"
#include "ring.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <thread>

using namespace std::chrono_literals;

namespace {

// One sequence of numbers for all who ask, the free-running writer included.
class Writer {
 public:
  void open(const std::string& device) {
    try {
      m_ring.emplace(device, Ring::Mode::Write);
      m_latest = m_ring->newest();
    } catch (const std::exception& failure) {
      m_ring.reset();
      m_error = failure.what();
    }
    std::thread([this] { run(); }).detach();
  }
  // The number that is now on stable storage; throws when it could not be put there, and from then on always.
  std::uint64_t write() {
    const std::lock_guard guard(m_mutex);
    if (!m_error.empty()) throw std::runtime_error(m_error);
    if (!m_ring) throw std::runtime_error("no disk");
    try {
      m_ring->append(m_latest + 1);
    } catch (const std::exception& failure) {
      m_error = failure.what();
      throw;
    }
    return ++m_latest;
  }
  RingReport check() const {
    if (!m_ring) throw std::runtime_error("no disk");
    return m_ring->check(m_latest);
  }
  void set_rate(double per_s) { m_rate = per_s; }
  double rate() const { return m_rate; }
  std::uint64_t latest() const { return m_latest; }
  std::string error() const {
    const std::lock_guard guard(m_mutex);
    return m_error;
  }

 private:
  void run() {
    auto due = Clock::now();
    for (;;) {
      const double rate = m_rate;
      if (rate <= 0) {
        std::this_thread::sleep_for(100ms);
        due = Clock::now();
        continue;
      }
      due += std::chrono::duration_cast<Clock::duration>(Seconds(1 / rate));
      std::this_thread::sleep_until(due);
      if (Clock::now() - due > 250ms) due = Clock::now();  // no burst after a stop
      try {
        write();
      } catch (const std::exception&) {
        m_rate = 0;  // the error stays and is shown on port 11
      }
    }
  }
  mutable std::mutex m_mutex;
  std::optional<Ring> m_ring;
  std::string m_error;
  std::atomic<std::uint64_t> m_latest{0};
  std::atomic<double> m_rate{0};
};

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

struct Guest {
  std::string name;
  // Drawn once when the program starts and kept in memory only: the same after a switchover means the same process.
  std::uint64_t token = std::random_device{}() * 4294967296ULL + std::random_device{}();
  Clock::time_point started = Clock::now();
  Writer writer;
  Dirtier dirtier;
  CpuLoad cpu;

  std::string info() const {
    std::ostringstream out;
    out << "{\"name\":" << quoted(name) << ",\"boot_id\":" << quoted(first_line("/proc/sys/kernel/random/boot_id"))
        << ",\"token\":\"" << std::hex << token << std::dec
        << "\",\"uptime_s\":" << std::atof(first_line("/proc/uptime").c_str())
        << ",\"running_s\":" << Seconds(Clock::now() - started).count()
        << ",\"time\":" << quoted(wall_clock(std::chrono::system_clock::now())) << ",\"latest\":" << writer.latest()
        << ",\"writer\":{\"per_s\":" << writer.rate() << ",\"error\":" << quoted(writer.error())
        << "},\"dirty\":{\"mib_per_s\":" << dirtier.wanted() << ",\"measured_mib_per_s\":" << dirtier.measured()
        << ",\"set_mib\":" << dirtier.set_mib() << "},\"cpu\":{\"duty\":" << cpu.duty() << "}}";
    return out.str();
  }

  std::string command(const std::string& line) {
    std::istringstream words(line);
    std::string verb, what;
    words >> verb;
    double number = 0;
    if (verb == "info") return info();
    if (verb == "check") return writer.check().json();
    if (verb == "cpu" && words >> what) {
      if (what == "idle") return cpu.hold(0), "ok";
      if (what == "full") return cpu.hold(1), "ok";
      if (what == "ramp" && words >> number) return cpu.ramp(number), "ok";
      if (what == "hold" && words >> number) return cpu.hold(number / 100), "ok";
    }
    if (verb == "dirty" && words >> number) {
      std::uint64_t set = 0;
      if (!(words >> set)) set = dirtier.set_mib() != 0 ? dirtier.set_mib() : default_set_mib();
      return dirtier.set(number, set), "ok";
    }
    if (verb == "writer" && words >> number) return writer.set_rate(number), "ok";
    return "error: use cpu idle|full|hold PERCENT|ramp MINUTES, dirty MIB_PER_S [SET_MIB], writer PER_S, check, info";
  }

  static std::uint64_t default_set_mib() {  // a quarter of the memory
    return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) / 256 / 4;
  }
};

void answer(std::uint16_t port, std::function<void(int)> talk) {
  std::thread([port, talk = std::move(talk)] {
    const Fd listener = listen_tcp(port);
    for (;;) {
      Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) continue;
      const int on = 1;
      ::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      std::thread([talk, peer = std::move(peer)] { talk(peer.get()); }).detach();
    }
  }).detach();
}

// `reply` once per line received; what it throws is told to the peer.
std::function<void(int)> per_line(std::function<std::string(const std::string&)> reply) {
  return [reply = std::move(reply)](int peer) {
    LineReader lines(peer);
    while (const auto line = lines.next()) {
      std::string text;
      try {
        text = reply(*line);
      } catch (const std::exception& failure) {
        text = std::string("error: ") + failure.what();
      }
      if (!send_all(peer, text + "\n")) return;
    }
  };
}

void echo_tcp(int peer) {
  char buffer[4096];
  for (;;) {
    const auto got = ::recv(peer, buffer, sizeof buffer, 0);
    if (got <= 0 || !send_all(peer, {buffer, static_cast<std::size_t>(got)})) return;
  }
}

void echo_udp() {
  const Fd fd = bind_udp(7);
  char buffer[2048];
  for (;;) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const auto got = ::recvfrom(fd.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got >= 0)
      ::sendto(fd.get(), buffer, static_cast<std::size_t>(got), 0, reinterpret_cast<const sockaddr*>(&from), size);
  }
}

}  // namespace

int serve(const std::vector<std::string>& words) {
  ::signal(SIGPIPE, SIG_IGN);
  std::map<std::string, std::string> options;
  for (const auto& word : words)
    if (const auto equals = word.find('='); equals != std::string::npos)
      options[word.substr(0, equals)] = word.substr(equals + 1);
  const auto number = [&](const char* key, double otherwise) {
    const auto found = options.find(key);
    return found == options.end() ? otherwise : std::atof(found->second.c_str());
  };

  static Guest guest;
  guest.name = options["umbra.name"];
  guest.writer.open(options.contains("umbra.device") ? options["umbra.device"] : "/dev/vda");
  guest.writer.set_rate(number("umbra.writer", 0));
  if (const double rate = number("umbra.dirty", 0); rate > 0)
    guest.dirtier.set(rate, static_cast<std::uint64_t>(number("umbra.set", 0)) != 0
                                ? static_cast<std::uint64_t>(number("umbra.set", 0))
                                : Guest::default_set_mib());
  const std::string load = options["umbra.load"];
  if (load == "full") guest.cpu.hold(1);
  if (load == "ramp") guest.cpu.ramp(number("umbra.ramp", 10));

  std::thread(echo_udp).detach();
  answer(9, per_line([](const std::string&) { return std::to_string(guest.writer.write()); }));
  answer(10, [](int peer) {
    send_all(peer, std::to_string(guest.writer.latest()) + "\n");
    per_line([](const std::string&) { return std::to_string(guest.writer.latest()); })(peer);
  });
  answer(11, [](int peer) { send_all(peer, guest.info() + "\n"); });
  answer(12, per_line([](const std::string& line) { return guest.command(line); }));
  answer(7, echo_tcp);  // last: who gets an answer here finds the rest there too
  for (;;) ::pause();
}
