extension RunLoop {
  /// Whether a socket was read to its end, or has more.
  enum Progress {
    case drained
    case more
  }

  /// Waits, then receives until everything is empty or the turn's time is up. Returns why waiting
  /// failed, if it did.
  func receive(wait: Int32, _ deliver: (CoreEvent, RawSpan) -> Void) -> Errno? {
    var wait = wait
    while !isEnding {
      let count: Int
      do throws(Errno) {
        count = try poller.wait(milliseconds: wait)
      } catch {
        return error
      }
      let polledAt = now
      // The first poll may have waited long; the turn's time counts from its end.
      if wait != 0 { turnEnds = polledAt + Self.budget }
      wait = 0
      drain.polled(at: polledAt)
      let progress = serve(count, at: polledAt, deliver)
      if progress == .drained && count < Poller.capacity {
        drain.sawEmpty(at: polledAt)
        return nil
      }
      if now >= turnEnds { return nil }
    }
    return nil
  }

  /// Serves the sockets of one poll in turn, at least one of them, until the turn's time is up.
  private func serve(
    _ count: Int, at polledAt: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    // The system lists sockets in much the same order each time: those behind the last one served
    // come first.
    let first = count > 0 ? served % count : 0
    served = 0
    var progress = Progress.drained
    for step in 0..<count {
      let (token, readiness) = poller.result((first + step) % count)
      if token == .max {
        takeAnswers(deliver)
      } else if let socket = sockets[token: token] {
        let time = step == 0 ? polledAt : now
        if serve(socket, readiness, at: time, deliver) == .more { progress = .more }
      }
      if isEnding { break }
      if step + 1 < count && now >= turnEnds {
        served = (first + step + 1) % count
        return .more
      }
    }
    return progress
  }

  private func serve(
    _ socket: LoopSocket, _ readiness: Readiness, at polledAt: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    switch socket.role {
    case .datagram:
      if readiness.contains(.writable) { sendHeld(socket) }
      guard readiness != .writable else { return .drained }
      return receiveDatagrams(socket, at: polledAt, deliver)
    case .listener:
      return acceptAll(socket, deliver)
    case .connecting(let handle):
      finishConnecting(socket, handle)
      settle(deliver)
      return .more
    case .stream:
      return serveStream(socket, readiness, deliver)
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

  /// Receives up to 64 batches, so that others get a turn.
  private func receiveDatagrams(
    _ socket: LoopSocket, at polledAt: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    var receivedAt = polledAt
    for _ in 0..<64 {
      let count: Int
      do throws(Errno) {
        count = try batch.receive(
          from: socket.fd, isConnected: socket.isConnectedDatagram)
      } catch {
        guard error.isBounce else { return .drained }
        if socket.isConnectedDatagram { bounced(socket, error) }
        settle(deliver)
        if socket.isOpen && !isEnding { continue }
        return .drained
      }
      for index in 0..<count where socket.isOpen && !isEnding {
        take(index, on: socket, at: receivedAt, deliver)
        if endpoint.trackedReceived &- trackedAtFlush >= Self.trackedGap { flushDatagrams() }
      }
      guard socket.isOpen, !isEnding, batch.isFull else { return .drained }
      receivedAt = now
      if receivedAt >= turnEnds { return .more }
      sendBetween(at: receivedAt)
    }
    return .more
  }

  /// Gives the datagrams of one train to the core, and what comes of each to the user while its
  /// bytes are there.
  private func take(
    _ index: Int, on socket: LoopSocket, at receivedAt: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) {
    let train = batch.received(index)
    let remote = socket.isConnectedDatagram ? socket.remote : train.remote
    var local = socket.local
    if socket.isWildcard {
      local.ip = train.local.ip
      local.scope = train.local.scope
    }
    batch.withReceivedBytes(index) { bytes in
      var next = 0
      repeat {
        let end = min(next + train.segment, bytes.count)
        let datagram = bytes.extracting(next..<end)
        if end == bytes.count, train.isTruncated {
          endpoint.receivedTruncated(datagram.count)
        } else {
          endpoint.receive(datagram, on: socket.id, from: remote, to: local, at: receivedAt)
        }
        if endpoint.waitingEvents > 0 || !endpoint.actions.isEmpty { settle(datagram, deliver) }
        next = end
      } while next < bytes.count && socket.isOpen && !isEnding
    }
  }

  /// A datagram that was sent earlier on a connected socket did not arrive.
  func bounced(_ socket: LoopSocket, _ error: Errno) {
    endpoint.bounced(socket.id, error.status, systemError: error.rawValue, at: now)
  }
}
