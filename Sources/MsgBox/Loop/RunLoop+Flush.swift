extension RunLoop {
  /// Sends what the core has queued, as far as the system takes it and a turn may send. Legal inside
  /// `deliver`.
  package func flush() {
    endpoint.beginTurn(at: now)
    sendQueued(at: now)
  }

  /// Sends within what is left of this turn's share.
  func sendQueued(at now: Instant) {
    guard !sendsNothing else { return }
    if endpoint.hasDatagrams { flushDatagrams(at: now) }
    guard let id = endpoint.pollStream(at: now) else { return }
    writeStream(id, at: now)
    if !endpoint.readyStreams.isEmpty { writeStreams() }
  }

  /// Writes to the other streams, as long as there is time.
  private func writeStreams() {
    var time = now
    let ends = time + Self.sendBudget
    while time < ends, let id = endpoint.pollStream(at: time) {
      writeStream(id, at: time)
      time = now
    }
  }

  /// So many numbered datagrams that came may have their senders wait for the acknowledgement.
  static let trackedGap: UInt64 = 128

  /// In the middle of a long receive, sends after a while what should not wait for its end.
  func sendBetween(at now: Instant) {
    guard !isEnding, now.since(sentAt) >= Self.sendGap else { return }
    flushDatagrams(at: now)
  }

  /// Sends what the core has queued over UDP.
  func flushDatagrams(at now: Instant) {
    trackedAtFlush = endpoint.trackedReceived
    guard endpoint.hasDatagrams else { return }
    sentAt = now
    guard let first = fill(0) else { return }
    guard endpoint.hasDatagrams else { return sendAlone(first) }
    flushBatches(first)
  }

  /// Sends the one datagram that was taken from the core.
  private func sendAlone(_ transmit: Transmit) {
    guard let socket = sockets[transmit.socket] else { return }
    let facts = socket.facts
    if !facts.isConnected { address(0, transmit, facts) }
    if facts.isHolding { hold(0..<1, on: socket) } else { send(0..<1, on: socket) }
  }

  /// Sends what the core has queued behind a datagram that is in place already.
  private func flushBatches(_ first: Transmit) {
    var next: Transmit? = first
    var socket: LoopSocket?
    // Of the batch, those that are for this socket.
    var (first, end) = (0, 0)
    while let transmit = next {
      if socket?.id != transmit.socket {
        if let socket { sendOrHold(first..<end, on: socket) }
        first = end
        socket = sockets[transmit.socket]
      }
      if let socket {
        if !socket.isConnectedDatagram { address(end, transmit, socket.facts) }
        end += 1
        if end == DatagramBatch.capacity {
          sendOrHold(first..<end, on: socket)
          (first, end) = (0, 0)
        }
      }
      next = endpoint.hasDatagrams ? fill(end) : nil
    }
    if let socket { sendOrHold(first..<end, on: socket) }
  }

  @inline(__always)
  private func address(_ index: Int, _ transmit: Transmit, _ facts: DatagramFacts) {
    batch.address(
      index, to: transmit.remote, from: facts.isWildcard ? transmit.local : .unspecified)
  }

  /// Takes the next datagram from the core into place `index` of the batch.
  @inline(__always)
  private func fill(_ index: Int) -> Transmit? {
    batch.fill(index) { endpoint.pollTransmit(into: &$0, at: sentAt) }
  }

  /// Sends the datagrams `range` of the batch, unless others of their socket wait.
  private func sendOrHold(_ range: Range<Int>, on socket: LoopSocket) {
    if socket.isHolding { hold(range, on: socket) } else { send(range, on: socket) }
  }

  /// Sends the datagrams `range` of the batch; what the system has no room for is held.
  private func send(_ range: Range<Int>, on socket: LoopSocket) {
    var next = range.lowerBound
    var hasBounced = false
    while next < range.upperBound {
      do throws(Errno) {
        next += try sendOnce(next..<range.upperBound, on: socket)
        hasBounced = false
      } catch {
        if error == .wouldBlock {
          hold(next..<range.upperBound, on: socket)
          return
        }
        if error.isBounce && socket.isConnectedDatagram && !hasBounced {
          // The error of an earlier datagram kept this one from being sent, and is gone.
          hasBounced = true
          bounced(socket, error)
        } else {
          note(.info, "a datagram was refused, error ", Int(error.rawValue))
          endpoint.sendFailed(socket.id, systemError: error.rawValue, at: now)
          next += 1
          hasBounced = false
        }
      }
    }
  }

  @inline(__always)
  private func sendOnce(_ range: Range<Int>, on socket: LoopSocket) throws(Errno) -> Int {
    let facts = socket.facts
    // One alone is no train.
    var none = Trains()
    guard range.count > 1 else {
      return try batch.send(
        range, on: facts.fd, isIPv6: facts.isIPv6, isConnected: facts.isConnected, trains: &none)
    }
    return try batch.send(
      range, on: facts.fd, isIPv6: facts.isIPv6, isConnected: facts.isConnected,
      trains: &socket.trains)
  }

  private func hold(_ range: Range<Int>, on socket: LoopSocket) {
    for index in range { socket.held.append(batch.copyOfSending(index)) }
    setBlocked(socket, true)
  }

  /// The socket has room again: first what was held.
  func sendHeld(_ socket: LoopSocket) {
    let held = socket.held
    socket.held.removeAll()
    var first = 0
    while first < held.count && !socket.isHolding {
      let count = min(held.count - first, DatagramBatch.capacity)
      for index in 0..<count {
        let datagram = held[first + index]
        batch.put(datagram.bytes, at: index, to: datagram.remote, from: datagram.local)
      }
      send(0..<count, on: socket)
      first += count
    }
    socket.held.append(contentsOf: held[first...])
    if !socket.isHolding { setBlocked(socket, false) }
  }

  /// Writes what a stream has to send, until the system takes no more.
  func writeStream(_ id: SocketID, at time: Instant) {
    guard let socket = sockets[id], socket.role == .stream else { return }
    var failure: Errno?
    var isFull = false
    endpoint.writePieces(id, at: time) { queue in
      guard !socket.hasFailed, socket.writeError == nil else { return 0 }
      do throws(Errno) {
        // The queue is borrowed until this returns, so its bytes stay where they are.
        for index in 0..<queue.pieceCount where streamPieces.bytes < StreamQueue.writeLimit {
          guard unsafe streamPieces.add(queue.piece(index)) else { break }
        }
        let offered = streamPieces.bytes
        let count = try streamPieces.send(on: socket.fd)
        isFull = count < offered
        return count
      } catch {
        if error == .wouldBlock { isFull = true } else { failure = error }
        return 0
      }
    }
    if isFull || failure != nil { setBlocked(socket, true) }
    if let failure { writingFailed(socket, failure) }
  }

  /// What the peer sent before it went is still to be read, so the end is told when that is done.
  private func writingFailed(_ socket: LoopSocket, _ error: Errno) {
    note(.info, "writing to a stream failed, error ", Int(error.rawValue))
    socket.writeError = error
    watch(socket, for: socket.interest.subtracting(.writable))
    if socket.hasReadEnd { fail(socket, error) }
  }

  /// Tells core and poller whether a socket takes more.
  func setBlocked(_ socket: LoopSocket, _ isBlocked: Bool) {
    let interest =
      isBlocked ? socket.interest.union(.writable) : socket.interest.subtracting(.writable)
    watch(socket, for: interest)
    guard socket.isBlocked != isBlocked else { return }
    socket.isBlocked = isBlocked
    endpoint.setBlocked(socket.id, isBlocked)
  }
}
