// SPDX-License-Identifier: Apache-2.0
#include "base/thread.hpp"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace umbra::base {
namespace {

/// A thread begins with the mask of the one that starts it.
class AllBlocked {
 public:
  AllBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &m_before);
  }
  ~AllBlocked() { pthread_sigmask(SIG_SETMASK, &m_before, nullptr); }
  AllBlocked(const AllBlocked&) = delete;
  AllBlocked& operator=(const AllBlocked&) = delete;

 private:
  sigset_t m_before{};
};

}  // namespace

std::thread thread_without_signals(std::function<void()> work) {
  const AllBlocked blocked;
  return std::thread(std::move(work));
}

}  // namespace umbra::base
