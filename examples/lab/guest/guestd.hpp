// SPDX-License-Identifier: Apache-2.0
// The verbs of guestd: one function each, given the words after the verb, giving the exit status.
#pragma once

#include <string>
#include <vector>

int serve(const std::vector<std::string>& words);
int probe(const std::vector<std::string>& words);
int writes(const std::vector<std::string>& words);
int ask(const std::vector<std::string>& words);
int check(const std::vector<std::string>& words);
