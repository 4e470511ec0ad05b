/// What connections send over UDP: packets are packed into datagrams, and the connections take turns
/// by deficit round robin (Shreedhar and Varghese, 1995).
extension Endpoint {
  /// Bytes that a connection may send in each round: at least the largest datagram, so that each
  /// visit sends something.
  static let quantum = WireFormat.maxDatagram

  // MARK: Packing

  /// Adds a message to the datagram that its connection fills in this turn. `counts` says that it
  /// is taken from the marks when it is sent.
  mutating func pack(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic, counts: Bool,
    at now: Instant
  ) {
    let session = connections[slot].sendSession
    if traffic.builder?.append(head, session: session, payload: message) != true {
      seal(slot, traffic, at: now)
      var builder = DatagramBuilder(buffer: takeBuffer())
      // An empty datagram takes any message that `queue` has let through.
      _ = builder.append(head, session: session, payload: message)
      traffic.builder = builder
    }
    if counts {
      traffic.builderMessages += 1
      traffic.builderBytes += message.count
    }
    makeReady(slot)
  }

  /// Finishes the open datagram of a connection, if it has one.
  mutating func seal(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    guard traffic.builder?.isEmpty == false else { return }
    appendOwedAck(slot, traffic, at: now)
    guard let bytes = traffic.builder?.seal() else { return }
    traffic.sealed.append(
      SealedDatagram(
        bytes: bytes, messages: traffic.builderMessages, messageBytes: traffic.builderBytes))
    traffic.builder = nil
    traffic.builderMessages = 0
    traffic.builderBytes = 0
  }

  mutating func takeBuffer() -> [UInt8] {
    if let buffer = buffers.popLast() { return buffer }
    var buffer: [UInt8] = []
    buffer.reserveCapacity(WireFormat.maxDatagram)
    return buffer
  }

  mutating func giveBack(_ buffer: [UInt8]) {
    if buffers.count < 256 { buffers.append(buffer) }
  }

  // MARK: Turns

  /// A turn of the loop begins: it may send `turnDatagrams` datagrams.
  package mutating func beginTurn() { turnDatagramsLeft = Int(limits.turnDatagrams) }

  /// A connection has something to send.
  mutating func makeReady(_ slot: Int) {
    guard !connections[slot].flags.contains(.isReady) else { return }
    connections[slot].flags.insert(.isReady)
    let entry = ReadyConnection(
      slot: UInt32(truncatingIfNeeded: slot), generation: connections.generation(slot))
    ready.append(entry)
  }

  /// Its socket takes more again.
  mutating func unpark(_ entry: ReadyConnection) {
    if connections.contains(Int(entry.slot), generation: entry.generation) { ready.append(entry) }
  }

  private mutating func leaveRound() {
    _ = ready.popFirst()
    isInVisit = false
  }

  // MARK: Transmits

  /// The next datagram, written to the front of `buffer` (at least 1200 bytes); nil if there is
  /// none, or the turn has sent its share.
  package mutating func pollTransmit(into buffer: inout MutableSpan<UInt8>, at now: Instant)
    -> Transmit?
  {
    guard turnDatagramsLeft > 0 else { return nil }
    // A round may end a connection, whose close then waits at its socket.
    guard
      let transmit = nextOfSocket(into: &buffer) ?? nextOfRound(into: &buffer, at: now)
        ?? nextOfSocket(into: &buffer)
    else { return nil }
    turnDatagramsLeft -= 1
    counters.datagramsSent &+= 1
    counters.bytesSent &+= UInt64(transmit.count)
    return transmit
  }

  /// What belongs to no connection's queue goes first: it is small, and bounded.
  private mutating func nextOfSocket(into buffer: inout MutableSpan<UInt8>) -> Transmit? {
    while let socket = readySockets.first {
      let index = Int(socket.rawValue)
      guard socketIsOpen(socket), !sockets[index].isBlocked,
        let datagram = sockets[index].out.popFirst()
      else {
        _ = readySockets.popFirst()
        if socketIsOpen(socket) { sockets[index].isReady = false }
        finishIfIdle(socket)
        continue
      }
      return Transmit(
        socket: socket, remote: datagram.remote, local: datagram.local,
        count: write(datagram, into: &buffer))
    }
    return nil
  }

  private mutating func write(_ datagram: OutDatagram, into buffer: inout MutableSpan<UInt8>) -> Int
  {
    switch datagram.content {
    case .packed(let packed):
      return give(packed, to: &buffer)
    case .control(let packet, let session):
      var bytes = takeBuffer()
      bytes.removeAll(keepingCapacity: true)
      packet.append(to: &bytes, session: session)
      return give(bytes, to: &buffer)
    }
  }

  private mutating func give(_ bytes: [UInt8], to buffer: inout MutableSpan<UInt8>) -> Int {
    let count = buffer.copyToFront(bytes.span) ? bytes.count : 0
    giveBack(bytes)
    return count
  }

  /// The next datagram of the connection whose turn it is.
  ///
  /// Each visit adds a quantum to what a connection may send, and it sends until that is used up; a
  /// datagram may overdraw it, and the next round makes up for that. So connections that always
  /// have something to send are within one quantum of each other after each round.
  private mutating func nextOfRound(
    into buffer: inout MutableSpan<UInt8>, at now: Instant
  ) -> Transmit? {
    while let entry = ready.first {
      let slot = Int(entry.slot)
      guard connections.contains(slot, generation: entry.generation),
        connections[slot].hasSession, let traffic = connections[slot].traffic
      else {
        leaveRound()
        continue
      }
      let socket = connections[slot].socket
      if sockets[Int(socket.rawValue)].isBlocked {
        leaveRound()
        sockets[Int(socket.rawValue)].parked.append(entry)
        continue
      }
      if !isInVisit {
        traffic.deficit += Self.quantum
        isInVisit = true
      }
      if traffic.deficit <= 0 {
        leaveRound()
        ready.append(entry)
        continue
      }
      guard let bytes = nextDatagram(slot, traffic, at: now) else {
        traffic.deficit = 0
        connections[slot].flags.remove(.isReady)
        leaveRound()
        queueIsEmpty(slot, traffic, at: now)
        continue
      }
      traffic.deficit -= bytes.count
      connections[slot].lastSent = now
      let connection = connections[slot]
      return Transmit(
        socket: socket, remote: connection.remote, local: connection.sendLocal,
        count: give(bytes, to: &buffer))
    }
    return nil
  }

  /// What a connection sends next; nil when there is nothing, or the window of its path is full.
  /// What must arrive and what need not take turns.
  private mutating func nextDatagram(_ slot: Int, _ traffic: Traffic, at now: Instant) -> [UInt8]? {
    if !traffic.outboxHadItsTurn, let bytes = nextTracked(slot, traffic, at: now) {
      traffic.outboxHadItsTurn = true
      return bytes
    }
    traffic.outboxHadItsTurn = false
    if let bytes = nextUntracked(slot, traffic, at: now) { return bytes }
    return nextTracked(slot, traffic, at: now)
  }

  private mutating func nextUntracked(_ slot: Int, _ traffic: Traffic, at now: Instant) -> [UInt8]?
  {
    if traffic.sealed.isEmpty { packWaiting(slot, traffic, at: now) }
    if traffic.sealed.isEmpty {
      if traffic.builder == nil { beginAckAlone(slot, traffic, at: now) }
      if isLastDatagram(slot, traffic) {
        // Behind the close nothing is read.
        appendOwedAck(slot, traffic, at: now)
        traffic.closeIsPacked =
          traffic.received?.owesAck != true
          && traffic.builder?.appendControl(.close(traffic.closeReason)) == true
      }
      seal(slot, traffic, at: now)
    }
    guard let datagram = traffic.sealed.popFirst() else { return nil }
    traffic.datagramsTaken &+= 1
    release(traffic, messages: datagram.messages, bytes: datagram.messageBytes)
    if datagram.messages > 0 { tellWritable(slot) }
    return datagram.bytes
  }

  /// Packs messages that wait in their own form until a datagram is full.
  private mutating func packWaiting(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    while traffic.sealed.isEmpty, let message = traffic.waiting.first {
      if now > message.deadline, !message.hasBegun {
        _ = traffic.waiting.removeFirst()
        expire(message, slot, traffic)
      } else if message.bytes.count <= singlePacketRoom(slot, message.head) {
        _ = traffic.waiting.removeFirst()
        pack(message.head, message.bytes.span, slot, traffic, counts: true, at: now)
      } else if traffic.builder != nil {
        seal(slot, traffic, at: now)
      } else {
        packFragment(message, slot, traffic)
      }
    }
  }

  /// One packet of an unreliable message that needs several, in a datagram of its own.
  private mutating func packFragment(_ message: WaitingMessage, _ slot: Int, _ traffic: Traffic) {
    let range = WireFormat.packetRange(
      message.nextPacket, of: message.bytes.count, size: WireFormat.oneWayFragment)
    var head = message.head
    head.numPackets = WireFormat.packetCount(message.bytes.count, size: WireFormat.oneWayFragment)
    head.packetID = UInt16(truncatingIfNeeded: message.nextPacket)
    var builder = DatagramBuilder(buffer: takeBuffer())
    _ = builder.append(
      head, session: connections[slot].sendSession,
      payload: message.bytes.span.extracting(range))
    let isLast = range.upperBound == message.bytes.count
    traffic.sealed.append(
      SealedDatagram(
        bytes: builder.seal(), messages: isLast ? 1 : 0,
        messageBytes: isLast ? message.bytes.count : 0))
    if isLast { _ = traffic.waiting.removeFirst() } else { traffic.waiting.advanceFirst() }
  }

  // MARK: Ends

  /// The box ends: what is packed or waits, and a close behind it, go without their connection.
  mutating func sendLast(_ slot: Int, at now: Instant) {
    var closeIsPacked = false
    if let traffic = connections[slot].traffic {
      while !traffic.waiting.isEmpty {
        packWaiting(slot, traffic, at: now)
        disown(slot, traffic)
      }
      // What must arrive has one chance, as far as its window lets it go.
      while let bytes = nextTracked(slot, traffic, at: now) {
        traffic.sealed.append(SealedDatagram(bytes: bytes, messages: 0, messageBytes: 0))
        disown(slot, traffic)
      }
      appendOwedAck(slot, traffic, at: now)
      closeIsPacked = traffic.builder?.appendControl(.close(.normal)) == true
      seal(slot, traffic, at: now)
      disown(slot, traffic)
    }
    if !closeIsPacked {
      sendControl(.close(.normal), session: connections[slot].sendSession, slot)
    }
  }

  /// Sends the close of a connection, behind the ack that is owed.
  mutating func sendClose(_ slot: Int, _ reason: CloseReason, at now: Instant) {
    let connection = connections[slot]
    guard let traffic = connection.traffic, traffic.received?.owesAck == true else {
      return sendControl(.close(reason), session: connection.sendSession, slot)
    }
    var builder = DatagramBuilder(buffer: takeBuffer())
    append(owedAckOf: traffic, to: &builder, connection.sendSession, at: now)
    let isPacked = builder.appendControl(.close(reason))
    traffic.sealed = FIFO()
    traffic.sealed.append(SealedDatagram(bytes: builder.seal(), messages: 0, messageBytes: 0))
    disown(slot, traffic)
    if !isPacked { sendControl(.close(reason), session: connection.sendSession, slot) }
  }

  private mutating func disown(_ slot: Int, _ traffic: Traffic) {
    let connection = connections[slot]
    while let datagram = traffic.sealed.popFirst() {
      enqueue(
        OutDatagram(
          content: .packed(datagram.bytes), remote: connection.remote,
          local: connection.sendLocal),
        on: connection.socket)
    }
  }

  /// Whether the open datagram is the last one of a connection that the program has ended: its
  /// close goes with it.
  private func isLastDatagram(_ slot: Int, _ traffic: Traffic) -> Bool {
    connections[slot].phase == .closing && traffic.builder?.isEmpty == false
      && !traffic.closeIsPacked
      && (traffic.outbox?.isEmpty ?? true)
  }

  /// A connection has sent everything that it could: one that is being closed may be done.
  private mutating func queueIsEmpty(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    armRecovery(slot, traffic, at: now)
    if connections[slot].phase == .closing, traffic.isFlushed { finishClosing(slot, at: now) }
  }
}
