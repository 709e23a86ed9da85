// SPDX-License-Identifier: Apache-2.0
//
// The process that stands over one durable step, so that the step outlives the agent:
// `npufleet-agent supervise FOLDER`. See step_files.h for what the folder holds.
#ifndef AGENT_OPERATIONS_SUPERVISOR_H_
#define AGENT_OPERATIONS_SUPERVISOR_H_

#include <cstdint>
#include <string>

namespace npufleet::operations {

// Takes the folder's lock, goes into the background (a session of its own) and returns there in the
// parent, with an exit status for main(): 0 when the supervisor stands. In the child it does not
// return: it runs the command in a process group of its own, kills that group at the deadline or
// when asked (SIGTERM, after 5 s SIGKILL), and records the end. A program that outlives its SIGKILL
// by 10 s is left alone, with a last line of output in the words of signature UPG-03 ("blocked for
// more than 10 seconds"). Must be called while the process has one thread. If the supervisor dies,
// the kernel kills the program.
int Supervise(const std::string& folder);

// Field 22 of /proc/PID/stat; 0 when there is no such process.
uint64_t StartTicks(int pid);

// Kills what is left of the session: what a killed supervisor's program had started.
void KillSession(int session, uint64_t start_ticks);

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_SUPERVISOR_H_
