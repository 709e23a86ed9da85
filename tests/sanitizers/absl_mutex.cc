// SPDX-License-Identifier: Apache-2.0
//
// absl::Mutex, CondVar and Notification over pthreads, for the preset tsan alone. ThreadSanitizer
// sees what pthread's functions order, and nothing of what the distribution's Abseil does with its
// own atomics: every lock would be a data race to it. Being defined in the program, these serve
// gRPC's shared libraries, too. A reader's lock is a writer's here.
#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace absl {
ABSL_NAMESPACE_BEGIN
namespace {

struct Lockable {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  int awaiting = 0;  // a Condition; under mutex
};

struct Waitable {
  pthread_cond_t signalled = PTHREAD_COND_INITIALIZER;
};

// The object behind the one word that a Mutex or CondVar is; made when first asked for.
template <typename T>
T& Behind(std::atomic<intptr_t>& word) {
  intptr_t known = word.load(std::memory_order_acquire);
  if (known == 0) {
    auto* made = new T;
    if (word.compare_exchange_strong(known, reinterpret_cast<intptr_t>(made))) return *made;
    delete made;
  }
  return *reinterpret_cast<T*>(known);
}

void ChangedIfAwaited(Lockable& lockable) {
  if (lockable.awaiting > 0) pthread_cond_broadcast(&lockable.changed);
}

// False when `deadline` came first.
bool WaitUntil(pthread_cond_t& cond, pthread_mutex_t& mutex, Time deadline) {
  if (deadline == InfiniteFuture()) return pthread_cond_wait(&cond, &mutex) == 0;
  const timespec at = ToTimespec(deadline);
  return pthread_cond_timedwait(&cond, &mutex, &at) == 0;
}

}  // namespace

Mutex::~Mutex() { delete reinterpret_cast<Lockable*>(mu_.load(std::memory_order_acquire)); }
void Mutex::Lock() { pthread_mutex_lock(&Behind<Lockable>(mu_).mutex); }
bool Mutex::TryLock() { return pthread_mutex_trylock(&Behind<Lockable>(mu_).mutex) == 0; }
void Mutex::Unlock() {
  auto& lockable = Behind<Lockable>(mu_);
  ChangedIfAwaited(lockable);
  pthread_mutex_unlock(&lockable.mutex);
}
void Mutex::ReaderLock() { Lock(); }
bool Mutex::ReaderTryLock() { return TryLock(); }
void Mutex::ReaderUnlock() { Unlock(); }

bool Mutex::AwaitWithDeadline(const Condition& cond, Time deadline) {
  auto& lockable = Behind<Lockable>(mu_);
  if (cond.Eval()) return true;
  // Once, for what was changed before this wait: two who wait for different things would wake each
  // other for ever.
  ChangedIfAwaited(lockable);
  bool in_time = true;
  do {
    if (!in_time) return false;
    ++lockable.awaiting;
    in_time = WaitUntil(lockable.changed, lockable.mutex, deadline);
    --lockable.awaiting;
  } while (!cond.Eval());
  return true;
}
bool Mutex::AwaitWithTimeout(const Condition& cond, Duration timeout) {
  return AwaitWithDeadline(cond, Now() + timeout);
}
void Mutex::Await(const Condition& cond) { AwaitWithDeadline(cond, InfiniteFuture()); }
bool Mutex::LockWhenWithDeadline(const Condition& cond, Time deadline) {
  Lock();
  return AwaitWithDeadline(cond, deadline);
}
bool Mutex::LockWhenWithTimeout(const Condition& cond, Duration timeout) {
  return LockWhenWithDeadline(cond, Now() + timeout);
}
void Mutex::LockWhen(const Condition& cond) { LockWhenWithDeadline(cond, InfiniteFuture()); }
bool Mutex::ReaderLockWhenWithDeadline(const Condition& cond, Time deadline) {
  return LockWhenWithDeadline(cond, deadline);
}
bool Mutex::ReaderLockWhenWithTimeout(const Condition& cond, Duration timeout) {
  return LockWhenWithTimeout(cond, timeout);
}
void Mutex::ReaderLockWhen(const Condition& cond) { LockWhen(cond); }
void Mutex::AssertHeld() const {}
void Mutex::AssertReaderHeld() const {}
void Mutex::AssertNotHeld() const {}
void Mutex::ForgetDeadlockInfo() {}

// A wait that finds it notified already sees what was done before only if its atomic is seen, too.
Notification::~Notification() { MutexLock lock(&mutex_); }
void Notification::Notify() {
  MutexLock lock(&mutex_);
  notified_yet_.store(true, std::memory_order_release);
}
void Notification::WaitForNotification() const {
  WaitForNotificationWithDeadline(InfiniteFuture());
}
bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  return WaitForNotificationWithDeadline(Now() + timeout);
}
bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  MutexLock lock(&mutex_);
  return mutex_.AwaitWithDeadline(Condition(&HasBeenNotifiedInternal, &notified_yet_), deadline);
}

CondVar::~CondVar() { delete reinterpret_cast<Waitable*>(cv_.load(std::memory_order_acquire)); }
bool CondVar::WaitWithDeadline(Mutex* mu, Time deadline) {
  // The word is the first and only member of a Mutex.
  auto& lockable = Behind<Lockable>(*reinterpret_cast<std::atomic<intptr_t>*>(mu));
  ChangedIfAwaited(lockable);
  return !WaitUntil(Behind<Waitable>(cv_).signalled, lockable.mutex, deadline);
}
bool CondVar::WaitWithTimeout(Mutex* mu, Duration timeout) {
  return WaitWithDeadline(mu, Now() + timeout);
}
void CondVar::Wait(Mutex* mu) { WaitWithDeadline(mu, InfiniteFuture()); }
void CondVar::Signal() { pthread_cond_signal(&Behind<Waitable>(cv_).signalled); }
void CondVar::SignalAll() { pthread_cond_broadcast(&Behind<Waitable>(cv_).signalled); }

ABSL_NAMESPACE_END
}  // namespace absl
