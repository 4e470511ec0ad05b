extension RunLoop {
  /// What is known of a socket that was read.
  enum Progress: Comparable {
    /// It was read to its end.
    case drained
    /// What it was expected to have was read: the next poll tells whether there is more.
    case served
    /// It may have more.
    case more
  }

  /// Waits, then receives until everything is empty or the turn's time is up. Returns why waiting
  /// failed, if it did.
  func receive(wait: Int32, _ deliver: (CoreEvent, RawSpan) -> Void) -> Errno? {
    var wait = wait
    while !isEnding {
      let count: Int
      do throws(Errno) {
        count = try poll(wait)
      } catch {
        return error
      }
      let polledAt = now
      // The first poll may have waited long; the turn's time counts from its end.
      if wait != 0 { turnEnds = polledAt + Self.budget }
      wait = 0
      drain.polled(at: polledAt)
      endpoint.isBehind = drain.isBehind
      // What is kept from here on has had its share of this turn.
      let hadBacklog = !backlogged.isEmpty
      var progress = serve(count, at: polledAt, deliver)
      if hadBacklog { progress = max(progress, serveBacklog(deliver)) }
      if progress != .more && count < Poller.capacity {
        if progress == .drained { drain.sawEmpty(at: polledAt) } else { drain.sawServed() }
        return nil
      }
      if now >= turnEnds { return nil }
    }
    return nil
  }

  /// Waits up to `wait` milliseconds (-1: without limit), at first for `spin` without sleeping.
  private func poll(_ wait: Int32) throws(Errno) -> Int {
    guard wait != 0, spin.nanoseconds > 0 else { return try poller.wait(milliseconds: wait) }
    let limit = wait < 0 ? spin : min(spin, .milliseconds(UInt64(wait)))
    let began = now
    var spun = Interval(nanoseconds: 0)
    while spun < limit {
      let count = try poller.wait(milliseconds: 0)
      guard count == 0 else { return count }
      spun = now.since(began)
    }
    guard wait > 0 else { return try poller.wait(milliseconds: wait) }
    let waited = Int32(clamping: spun.nanoseconds / 1_000_000)
    return try poller.wait(milliseconds: max(wait - waited, 0))
  }

  /// Serves the sockets of one poll in turn, at least one of them, until the turn's time is up.
  private func serve(
    _ count: Int, at polledAt: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    if count == 1 {
      served = 0
      return serve(poller.result(0), at: polledAt, deliver)
    }
    // The system lists sockets in much the same order each time: those behind the last one served
    // come first.
    let first = count > 0 ? served % count : 0
    served = 0
    var progress = Progress.drained
    var time = polledAt
    for step in 0..<count {
      let ready = poller.result((first + step) % count)
      progress = max(progress, serve(ready, at: time, deliver))
      if isEnding || step + 1 == count { break }
      time = now
      if time >= turnEnds {
        served = (first + step + 1) % count
        return .more
      }
    }
    return progress
  }

  @inline(__always)
  private func serve(
    _ ready: (token: UInt64, readiness: Readiness), at polledAt: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    if let socket = sockets[token: ready.token] {
      return serve(socket, ready.readiness, at: polledAt, deliver)
    }
    if ready.token == .max { takeAnswers(deliver) }
    return .drained
  }

  private func serve(
    _ socket: LoopSocket, _ readiness: Readiness, at time: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    switch socket.role {
    case .datagram, .connectedDatagram:
      if readiness.contains(.writable) { sendHeld(socket) }
      guard readiness != .writable else { return .drained }
      return receiveDatagrams(socket, at: time, deliver)
    case .listener:
      return acceptAll(socket, at: time, deliver)
    case .connecting:
      finishConnecting(socket)
      settle(deliver)
      return .more
    case .stream:
      return serveStream(socket, readiness, at: time, deliver)
    }
  }

  /// Somebody woke the loop, or names were resolved.
  private func takeAnswers(_ deliver: (CoreEvent, RawSpan) -> Void) {
    wakeup.clear()
    while !isEnding, let answer = resolver?.take() {
      let handle = Handle(rawValue: answer.id)
      if answer.addresses.isEmpty {
        note(.warning, "a name has no address, error ", Int(answer.systemError))
        endpoint.resolveFailed(handle, systemError: answer.systemError, at: now)
      } else {
        endpoint.resolved(handle, answer.addresses, at: now)
      }
      settle(deliver)
    }
  }
}
