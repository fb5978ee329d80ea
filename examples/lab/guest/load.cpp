// SPDX-License-Identifier: Apache-2.0
#include "load.hpp"

#include <sys/mman.h>
#include <algorithm>
#include <thread>

using namespace std::chrono_literals;

namespace {

constexpr std::size_t page_bytes = 4096, pages_per_mib = 256;

std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

// Memory full of noise, so that neither zero-page detection nor compression makes a migration look better than it is.
class Pages {
 public:
  explicit Pages(std::size_t mib) : m_bytes(mib << 20) {
    if (m_bytes == 0) return;
    void* where = ::mmap(nullptr, m_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_call(where == MAP_FAILED ? -1 : 0, "mmap");
    m_words = static_cast<std::uint64_t*>(where);
    std::uint64_t state = 88172645463325252;
    for (std::size_t i = 0; i < m_bytes / sizeof *m_words; ++i) m_words[i] = next_random(state);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() {
    if (m_words != nullptr) ::munmap(m_words, m_bytes);
  }
  std::size_t count() const { return m_bytes / page_bytes; }
  void touch(std::size_t page, std::uint64_t value) { m_words[page * (page_bytes / sizeof *m_words)] = value; }

 private:
  std::size_t m_bytes;
  std::uint64_t* m_words = nullptr;
};

}  // namespace

Dirtier::Dirtier() {
  std::thread([this] { run(); }).detach();
}

void Dirtier::set(double mib_per_s, std::uint64_t set_mib) {
  m_set_mib = set_mib;
  m_wanted = mib_per_s;
}

void Dirtier::run() {
  std::uint64_t state = 0x2545f4914f6cdd1d;
  for (;;) {
    const auto mib = m_set_mib.load();
    Pages pages(mib);
    std::size_t next = 0;
    std::uint64_t touched = 0;
    double owed = 0;
    auto last = Clock::now(), window = last;
    while (m_set_mib == mib) {
      std::this_thread::sleep_for(m_wanted > 0 ? 10ms : 250ms);
      const auto now = Clock::now();
      // Never make up for more than a moment: a guest that was stopped must not burst when it goes on, and one that is
      // slowed down must get slower.
      owed += m_wanted * pages_per_mib * std::min(Seconds(now - last).count(), 0.05);
      last = now;
      if (pages.count() == 0) owed = 0;
      for (; owed >= 1; owed -= 1, ++touched) {
        pages.touch(next, next_random(state));
        if (++next == pages.count()) next = 0;
      }
      if (const double passed = Seconds(now - window).count(); passed >= 1) {
        m_measured = static_cast<double>(touched) / pages_per_mib / passed;
        touched = 0;
        window = now;
      }
    }
  }
}

CpuLoad::CpuLoad() {
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i)
    std::thread([this] { run(); }).detach();
}

void CpuLoad::hold(double duty) {
  const std::lock_guard guard(m_mutex);
  m_ramp_s = 0;
  m_duty = std::clamp(duty, 0.0, 1.0);
}

void CpuLoad::ramp(double minutes) {
  const std::lock_guard guard(m_mutex);
  m_ramp_s = std::max(minutes * 60, 0.001);
  m_ramp_start = Clock::now();
}

double CpuLoad::duty() const {
  const std::lock_guard guard(m_mutex);
  if (m_ramp_s == 0) return m_duty;
  return 0.1 + 0.9 * std::min(1.0, Seconds(Clock::now() - m_ramp_start).count() / m_ramp_s);
}

void CpuLoad::run() const {
  constexpr auto period = 100ms;
  for (;;) {
    const auto start = Clock::now();
    const double share = duty();
    if (share <= 0) {
      std::this_thread::sleep_for(250ms);
      continue;
    }
    const auto busy_until = start + std::chrono::duration_cast<Clock::duration>(period * share);
    volatile std::uint64_t sink = 1;
    while (Clock::now() < busy_until)
      for (int i = 0; i < 2000; ++i) sink = sink * 6364136223846793005 + 1;
    if (share < 1) std::this_thread::sleep_until(start + period);
  }
}
