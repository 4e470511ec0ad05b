/// What streams have to send.
extension Endpoint {
  mutating func appendToStream(_ socket: SocketID, _ packet: ControlPacket, session: UInt64?) {
    guard isStream(socket) else { return }
    awake(socket).out.append { StreamFrame.append(packet, session: session, to: &$0) }
    markStreamReady(socket)
  }

  /// Writes a message that counts as queued into the stream of its connection. `shared` is the same
  /// message, if it need not be copied.
  mutating func writeFrame(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic,
    _ options: SendOptions, shared: MessageBytes? = nil
  ) {
    let socket = connections[slot].socket
    guard isStream(socket) else { return }
    var head = head
    if options.isReliable, head.kind == .oneWay {
      head = reliableHead(message.count, traffic, options)
    }
    awake(socket).out.append(head, message, shared: shared)
    markStreamReady(socket)
  }

  /// The head of a reliable message of so many bytes, which waits from here on to be acknowledged.
  private func reliableHead(
    _ count: Int, _ traffic: Traffic, _ options: SendOptions
  ) -> MessageHead {
    traffic.streamOutbox.append(StreamReliable(bytes: count, options: options))
    // The stream keeps the order, so the place says nothing.
    return MessageHead(
      kind: .reliable, messageID: takeMessageID(traffic),
      place: ChannelPlace(channel: options.channel, place: 0))
  }

  /// Writes a small one-way message into the stream of its connection without the time, if that is
  /// all there is to it. False, and nothing has happened, if there is more to it: then it is for
  /// `send`.
  @inline(never)
  package mutating func write(_ message: Span<UInt8>, to handle: Handle) -> Bool {
    guard let slot = slot(handle), let traffic = unsafe borrowedTraffic(slot) else { return false }
    return unsafe traffic._withUnsafeGuaranteedRef {
      write(MessageHead(kind: .oneWay), message, slot, $0)
    }
  }

  @inline(__always)
  mutating func markStreamReady(_ socket: SocketID) {
    let index = Int(socket.rawValue)
    guard !sockets[index].isReady, !sockets[index].isBlocked else { return }
    sockets[index].isReady = true
    readyStreams.append(socket)
  }

  /// The next stream that has bytes to send and is not blocked, or nil. Each is named once until it
  /// has new bytes, or is unblocked with bytes left.
  package mutating func pollStream(at now: Instant) -> SocketID? {
    while let socket = readyStreams.popFirst() {
      guard isStream(socket) else { continue }
      sockets[Int(socket.rawValue)].isReady = false
      guard !sockets[Int(socket.rawValue)].isBlocked else { continue }
      writeWaiting(socket, at: now)
      if !hasWritten(socket) { return socket }
    }
    return nil
  }

  /// Messages that wait in their own form go into a stream that is nearly empty.
  private mutating func writeWaiting(_ socket: SocketID, at now: Instant) {
    guard let slot = owner(socket), connections[slot].hasSession,
      let traffic = connections[slot].traffic
    else { return }
    writeOwedAck(socket, traffic)
    guard !traffic.waiting.isEmpty else { return }
    let stream = awake(socket)
    var hasLate = false
    while stream.out.count < StreamQueue.nearlyEmpty, let message = traffic.waiting.removeFirst() {
      if now > message.deadline {
        expire(message, slot, traffic)
        hasLate = true
      } else {
        writeFrame(
          message.head, message.bytes.span, slot, traffic, message.options,
          shared: message.bytes)
      }
    }
    if hasLate { messagesLeft(slot, at: now) }
    rest(socket)
  }

  /// Tells the peer how many of its reliable frames have come, if that is owed.
  mutating func writeOwedAck(_ socket: SocketID, _ traffic: Traffic) {
    guard traffic.owesStreamAck, isStream(socket) else { return }
    traffic.owesStreamAck = false
    awake(socket).out.append {
      StreamFrame.append(ackCount: traffic.reliableFramesReceived, to: &$0)
    }
  }

  /// The box ends: what waits, and a close behind it, go without their connection.
  mutating func writeLast(_ slot: Int) {
    let socket = connections[slot].socket
    if let traffic = connections[slot].traffic {
      while let message = traffic.waiting.removeFirst() {
        writeFrame(
          message.head, message.bytes.span, slot, traffic, message.options, shared: message.bytes)
      }
      writeOwedAck(socket, traffic)
    }
    appendToStream(socket, .close(.normal), session: nil)
  }

  /// Hands the first unsent bytes of a stream to `write`, which returns how many of them (0...count)
  /// the system took.
  package mutating func writeStream(
    _ socket: SocketID, at now: Instant, _ write: (Span<UInt8>) -> Int
  ) {
    writePieces(socket, at: now) { queue in
      guard queue.pieceCount > 0 else { return 0 }
      let piece = queue.piece(0)
      return write(piece.extracting(0..<min(piece.count, StreamQueue.writeLimit)))
    }
  }

  /// Lends what a stream has to send to `write`, which returns how many bytes of it the system took,
  /// from the front.
  package mutating func writePieces(
    _ socket: SocketID, at now: Instant, _ write: (borrowing StreamQueue) -> Int
  ) {
    guard let stream = stream(socket) else { return }
    let taken = min(max(write(stream.out), 0), stream.out.count)
    if taken > 0 { wrote(taken, socket, stream, at: now) }
    if !stream.out.isEmpty {
      if taken > 0 { markStreamReady(socket) }
    } else if sockets[Int(socket.rawValue)].phase == .closing {
      beginLingering(socket, stream, at: now)
    } else {
      rest(socket)
      if let slot = owner(socket), connections[slot].traffic?.waiting.isEmpty == false {
        markStreamReady(socket)
      }
    }
  }

  /// The system has so many bytes more: the messages that are written by that are taken out of the
  /// connection's marks.
  private mutating func wrote(
    _ taken: Int, _ socket: SocketID, _ stream: StreamState, at now: Instant
  ) {
    let written = stream.out.take(taken)
    counters.bytesSent &+= UInt64(taken)
    guard let slot = owner(socket) else { return }
    connections[slot].lastSent = now
    if written.reliable > 0 { wroteReliable(written.reliable, slot) }
    guard written.messages > 0, let traffic = connections[slot].traffic else { return }
    release(traffic, messages: written.messages, bytes: written.bytes)
    messagesLeft(slot, at: now)
  }

  /// Something left the queue of a stream: the program may go on, or the close is due.
  mutating func messagesLeft(_ slot: Int, at now: Instant) {
    tellWritable(slot)
    if connections[slot].phase == .closing, connections[slot].traffic?.queuedMessages == 0 {
      finishClosing(slot, at: now)
    }
  }

  // MARK: Reliable messages

  @inline(never)
  private func wroteReliable(_ count: Int, _ slot: Int) {
    connections[slot].traffic?.reliableFramesWritten &+= UInt32(truncatingIfNeeded: count)
  }

  /// The peer has so many reliable frames: those messages are delivered. It can have none that is not
  /// written to its end; believed before, an acknowledgement would take messages out of the marks
  /// whose bytes still wait here.
  mutating func receiveStreamAck(_ count: UInt32, _ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic,
      case let fresh = count &- traffic.reliableFramesAcknowledged,
      fresh <= traffic.reliableFramesWritten &- traffic.reliableFramesAcknowledged
    else {
      drop(.staleAck, slot)
      return
    }
    traffic.reliableFramesAcknowledged = count
    for _ in 0..<fresh {
      guard let message = traffic.streamOutbox.popFirst() else { break }
      release(traffic, messages: 1, bytes: message.bytes)
      tellOutcome(message.options, .ok, slot)
    }
    messagesLeft(slot, at: now)
  }
}
