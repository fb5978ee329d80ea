// SPDX-License-Identifier: Apache-2.0
#pragma once
// Umbra's side of the benchmark, as a process of its own: `bench_replication --as ROLE ARGUMENT...`
//   pass SOURCE FORMAT BITMAP|- INTO local|session|dial:HOST:PORT READ_BACK(0|1)   the next point of shadow "bench"
//   far INTO            a far end on standard input and output
//   listen PORT INTO    a far end behind the first TCP connection that comes
//   dial HOST PORT      carries standard input and output over TCP
//   verify INTO         reads the newest point back whole
//   make FILE SIZE_MIB DATA_MIB   the raw image that is copied, to look at a pass by hand

#include <string>
#include <vector>

namespace umbra::bench {

int act_as(const std::vector<std::string>& words);

/// Takes the second point of shadow "bench" away, as if it had never come.
void forget_second(const std::string& into);

}  // namespace umbra::bench
