/// Datagrams of one sender that were received, and for which the turn had no time.
struct BacklogTrain {
  var train: ReceivedTrain
  var bytes: [UInt8]
}

extension RunLoop {
  /// After so many datagrams in a row the turn looks at the clock.
  static let datagramsBetweenLooks = 64

  /// Receives what a socket has, or of one that has had one datagram at a time for a while just
  /// that one.
  func receiveDatagrams(
    _ socket: LoopSocket, at polledAt: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    let facts = socket.facts
    guard !facts.hasBacklog else { return .more }
    unlooked = 0
    guard facts.arrivals.expectsOne, drain.isFresh(at: polledAt) else {
      return receiveAll(socket, at: polledAt, deliver)
    }
    do throws(Errno) {
      let count = try receiveBatch(socket, most: 1)
      if takeAll(count, of: socket, at: polledAt, deliver) { return .more }
    } catch {
      return stop(socket, after: error, deliver) ?? receiveAll(socket, at: polledAt, deliver)
    }
    return socket.isOpen && !isEnding ? .served : .drained
  }

  /// Receives up to 64 batches, so that others get a turn.
  private func receiveAll(
    _ socket: LoopSocket, at polledAt: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress {
    var receivedAt = polledAt
    for _ in 0..<64 {
      let count: Int
      do throws(Errno) {
        count = try receiveBatch(socket, most: DatagramBatch.receiveCapacity)
      } catch {
        if let progress = stop(socket, after: error, deliver) { return progress }
        continue
      }
      if takeAll(count, of: socket, at: receivedAt, deliver) { return .more }
      guard socket.isOpen, !isEnding, batch.isFull else { return .drained }
      guard let time = lookUp() else { return .more }
      receivedAt = time
    }
    return .more
  }

  /// Receives a batch, and notes what that says of the next one.
  private func receiveBatch(_ socket: LoopSocket, most: Int) throws(Errno) -> Int {
    let count = try batch.receive(
      from: socket.fd, isConnected: socket.isConnectedDatagram, most: most)
    socket.arrivals.came(isOne: count == 1 && batch.received(0).isOne)
    return count
  }

  /// What is known of a socket after `error`; nil if receiving may go on at once.
  private func stop(
    _ socket: LoopSocket, after error: Errno, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Progress? {
    if error.isMemoryShortage {
      // What waits there says who is not silent.
      drain.couldNotRead()
      return .served
    }
    guard error.isBounce else { return .drained }
    if socket.isConnectedDatagram { bounced(socket, error) }
    settle(deliver)
    return socket.isOpen && !isEnding ? nil : .drained
  }

  /// Gives the trains of the batch to the core; true if there was no time for all.
  private func takeAll(
    _ count: Int, of socket: LoopSocket, at receivedAt: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Bool {
    for index in 0..<count where socket.isOpen && !isEnding {
      if let rest = take(index, on: socket, at: receivedAt, deliver) {
        keep(index..<count, from: rest, of: socket)
        return true
      }
    }
    return false
  }

  /// Gives train `index` of the batch to the core. Returns where it had to stop for want of time.
  @inline(__always)
  private func take(
    _ index: Int, on socket: LoopSocket, at receivedAt: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Int? {
    let train = batch.received(index)
    var rest: Int?
    batch.withReceivedBytes(index) { bytes in
      rest = take(train, bytes, on: socket, at: receivedAt, deliver)
    }
    return rest
  }

  /// Gives the datagrams of one train to the core, and what comes of each to the user while its
  /// bytes are there. Returns where it had to stop for want of time.
  @inline(__always)
  private func take(
    _ train: ReceivedTrain, _ bytes: Span<UInt8>, on socket: LoopSocket, at receivedAt: Instant,
    _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Int? {
    let remote = socket.isConnectedDatagram ? socket.remote : train.remote
    var local = socket.local
    if socket.isWildcard {
      local.ip = train.local.ip
      local.scope = train.local.scope
    }
    var next = 0
    repeat {
      let end = min(next + train.segment, bytes.count)
      let datagram = bytes.extracting(next..<end)
      if end == bytes.count, train.isTruncated {
        endpoint.receivedTruncated(datagram.count)
      } else {
        endpoint.receive(datagram, on: socket.id, from: remote, to: local, at: receivedAt)
      }
      if endpoint.hasNews { settle(datagram, deliver) }
      next = end
      unlooked += 1
      if unlooked >= Self.datagramsBetweenLooks, lookUp() == nil { return next }
    } while next < bytes.count && socket.isOpen && !isEnding
    return nil
  }

  /// Looks at the clock; nil if the turn's time is up. If not, sends what should not wait for the
  /// end of a long reception.
  private func lookUp() -> Instant? {
    unlooked = 0
    let now = self.now
    if now >= turnEnds { return nil }
    if endpoint.trackedReceived &- trackedAtFlush >= Self.trackedGap {
      flushDatagrams(at: now)
    } else {
      sendBetween(at: now)
    }
    return now
  }

  /// Keeps what was received and not given to the core: trains `range` of the batch, the first of
  /// them from `rest` on.
  private func keep(_ range: Range<Int>, from rest: Int, of socket: LoopSocket) {
    var start = rest
    for index in range {
      var train = batch.received(index)
      if start < train.count || index > range.lowerBound {
        var copy: [UInt8] = []
        batch.withReceivedBytes(index) { bytes in
          unsafe bytes.extracting(start..<bytes.count).withUnsafeBufferPointer {
            unsafe copy.append(contentsOf: $0)
          }
        }
        train.count = copy.count
        socket.backlog.append(BacklogTrain(train: train, bytes: copy))
      }
      start = 0
    }
    if socket.hasBacklog { backlogged.append(socket.token) }
  }

  /// Goes on with what was kept of one socket, so long as there is time, but with a few datagrams
  /// at least; the next socket has its turn next.
  func serveBacklog(_ deliver: (CoreEvent, RawSpan) -> Void) -> Progress {
    guard !isEnding, let token = backlogged.popFirst() else { return .drained }
    guard let socket = sockets[token: token] else { return .more }
    var done = 0
    unlooked = 0
    while !isEnding, socket.isOpen, done < socket.backlog.count {
      let first = socket.backlog[done]
      done += 1
      let rest = take(first.train, first.bytes.span, on: socket, at: now, deliver)
      guard let rest, socket.isOpen else { continue }
      if rest < first.bytes.count {
        done -= 1
        socket.backlog[done].bytes.removeSubrange(..<rest)
        socket.backlog[done].train.count -= rest
      }
      break
    }
    // One that was closed meanwhile has taken its backlog along.
    guard socket.isOpen else { return .more }
    socket.backlog.removeFirst(done)
    if socket.hasBacklog { backlogged.append(token) }
    return .more
  }

  /// A datagram that was sent earlier on a connected socket did not arrive.
  func bounced(_ socket: LoopSocket, _ error: Errno) {
    endpoint.bounced(socket.id, error.status, systemError: error.rawValue, at: now)
  }
}
