/// What connections send over UDP: packets are packed into datagrams, and the connections take turns
/// by deficit round robin (Shreedhar and Varghese, 1995).
extension Endpoint {
  /// Bytes that a connection may send in each round: at least the largest datagram, so that each
  /// visit sends something.
  static let quantum = WireFormat.maxDatagram

  // MARK: Packing

  /// Adds a message to the datagram that its connection fills in this turn, or gives it one that
  /// nothing else goes into. `counts` says that it is taken from the marks when it is sent; no
  /// time says that no ack is owed.
  mutating func pack(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic, counts: Bool,
    isAlone: Bool = false, at now: Instant?
  ) {
    let session = connections[slot].sendSession
    if isAlone { seal(slot, traffic, at: now) }
    if traffic.builder?.append(head, session: session, payload: message) != true {
      seal(slot, traffic, at: now)
      var builder = DatagramBuilder(buffer: takeBuffer())
      // An empty datagram takes any message that `queue` has let through.
      _ = builder.append(head, session: session, payload: message)
      traffic.builder = builder
    }
    if counts {
      traffic.builderMessages &+= 1
      traffic.builderBytes &+= message.count
    }
    if isAlone { seal(slot, traffic, at: now) }
    makeReady(slot)
  }

  /// Finishes the open datagram of a connection, if it has one.
  mutating func seal(_ slot: Int, _ traffic: Traffic, at now: Instant?) {
    guard traffic.builder?.isEmpty == false else { return }
    if let now, owesAck(traffic) { appendOwedAck(slot, traffic, at: now) }
    if let sealed = takeOpen(traffic) { traffic.sealed.append(sealed) }
  }

  /// Takes out the open datagram of a connection as it is; nil if it has none.
  @inline(__always)
  private func takeOpen(_ traffic: Traffic) -> SealedDatagram? {
    guard let datagram = traffic.builder?.seal() else { return nil }
    let sealed = SealedDatagram(
      datagram: datagram, messages: traffic.builderMessages, messageBytes: traffic.builderBytes)
    traffic.builder = nil
    traffic.builderMessages = 0
    traffic.builderBytes = 0
    return sealed
  }

  /// Whether an ack of what the peer has sent is to go along with the next datagram.
  @inline(__always)
  func owesAck(_ traffic: Traffic) -> Bool {
    traffic.received == nil ? false : traffic.received?.owesAck == true
  }

  /// A buffer for one datagram, with anything in it.
  mutating func takeBuffer() -> [UInt8] {
    buffers.popLast() ?? [UInt8](repeating: 0, count: WireFormat.maxDatagram)
  }

  mutating func giveBack(_ datagram: PackedDatagram) { giveBack(datagram.buffer) }

  private mutating func giveBack(_ buffer: [UInt8]) {
    if buffers.count < 256 { buffers.append(buffer) }
  }

  // MARK: Turns

  /// A turn of the loop begins: it may send `turnDatagrams` datagrams of connections, and four times
  /// as many that belong to no connection's queue. Those are small, and strangers who are not
  /// answered come again: an answer that is not sent helps only who floods.
  package mutating func beginTurn(at now: Instant) {
    pathChanges.sentAll(at: now)
    turnDatagramsLeft = Int(limits.turnDatagrams)
    turnControlsLeft = turnDatagramsLeft * 4
    turnControlsFirst = (turnDatagramsLeft + 1) / 2
  }

  /// A connection has something to send.
  @inline(__always)
  mutating func makeReady(_ slot: Int) {
    if !connections[slot].flags.contains(.isReady) { takePlace(slot) }
  }

  private mutating func takePlace(_ slot: Int) {
    connections[slot].flags.insert(.isReady)
    join(readyEntry(slot))
  }

  /// A connection as lists name it, so that it is told from the next one in its slot.
  @inline(__always)
  func readyEntry(_ slot: Int) -> ReadyConnection {
    ReadyConnection(
      slot: UInt32(truncatingIfNeeded: slot), generation: connections.generation(slot))
  }

  /// Its socket takes more again.
  mutating func unpark(_ entry: ReadyConnection) {
    guard connections.contains(Int(entry.slot), generation: entry.generation) else { return }
    join(entry)
  }

  /// Puts a connection behind the others of this round; if it has had its share of that, of the
  /// next.
  private mutating func join(_ entry: ReadyConnection) {
    let traffic = unsafe borrowedTraffic(Int(entry.slot))
    let hasHadItsShare =
      unsafe traffic?._withUnsafeGuaranteedRef { $0.round == round && $0.deficit <= 0 } ?? false
    if hasHadItsShare {
      nextRound.append(entry)
    } else {
      ready.append(entry)
    }
  }

  /// The connection whose turn it is; a round that is over is followed by the next.
  private mutating func popReady() -> ReadyConnection? {
    if ready.isEmpty, !nextRound.isEmpty {
      swap(&ready, &nextRound)
      round &+= 1
    }
    return ready.popFirst()
  }

  // MARK: Transmits

  /// The next datagram, written to the front of `buffer` (at least 1200 bytes); nil if there is
  /// none, or the turn has sent its share.
  package mutating func pollTransmit(into buffer: inout MutableSpan<UInt8>, at now: Instant)
    -> Transmit?
  {
    // What belongs to no connection's queue is small and goes first, but others decide how much of
    // it there is: some of it goes before the connections and the rest behind them. A round may end
    // a connection, whose close then waits at its socket.
    var first: Transmit?
    if turnControlsFirst > 0, !readySockets.isEmpty {
      turnControlsFirst -= 1
      first = nextOfSocket(into: &buffer)
    }
    guard
      let transmit = first ?? nextOfRound(into: &buffer, at: now) ?? nextOfSocket(into: &buffer)
    else { return nil }
    counters.datagramsSent &+= 1
    counters.bytesSent &+= UInt64(transmit.count)
    return transmit
  }

  /// The next datagram that belongs to no connection's queue.
  private mutating func nextOfSocket(into buffer: inout MutableSpan<UInt8>) -> Transmit? {
    while turnControlsLeft > 0, let socket = readySockets.first {
      let index = Int(socket.rawValue)
      guard socketIsOpen(socket), !sockets[index].isBlocked,
        let datagram = sockets[index].waiting?.out.popFirst()
      else {
        _ = readySockets.popFirst()
        if socketIsOpen(socket) { sockets[index].isReady = false }
        finishIfIdle(socket)
        continue
      }
      turnControlsLeft -= 1
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
      controlBytes.removeAll(keepingCapacity: true)
      packet.append(to: &controlBytes, session: session)
      return buffer.copyToFront(controlBytes.span) ? controlBytes.count : 0
    }
  }

  private mutating func give(_ datagram: PackedDatagram, to buffer: inout MutableSpan<UInt8>) -> Int
  {
    let count = buffer.copyToFront(datagram.span) ? datagram.count : 0
    giveBack(datagram)
    return count
  }

  /// The next datagram of the connection whose turn it is.
  ///
  /// Each round adds a quantum to what a connection may send, and the connections send a datagram
  /// each in turn until theirs are used up; a datagram may overdraw it, and the next round makes up
  /// for that. So connections that always have something to send are within one quantum of each
  /// other after each round, and none waits for more than one datagram of each of the others before
  /// the first of its own.
  private mutating func nextOfRound(
    into buffer: inout MutableSpan<UInt8>, at now: Instant
  ) -> Transmit? {
    while turnDatagramsLeft > 0, let entry = popReady() {
      let slot = Int(entry.slot)
      guard connections.contains(slot, generation: entry.generation),
        connections[slot].hasSession, let traffic = connections[slot].traffic
      else { continue }
      let socket = connections[slot].socket
      if sockets[Int(socket.rawValue)].isBlocked {
        sockets[Int(socket.rawValue)].waitingForMore().parked.append(entry)
        continue
      }
      if let transmit = next(entry, traffic, into: &buffer, at: now) { return transmit }
    }
    return nil
  }

  /// The next datagram of a connection whose turn it is; nil if it has none.
  @inline(__always)
  private mutating func next(
    _ entry: ReadyConnection, _ traffic: Traffic, into buffer: inout MutableSpan<UInt8>,
    at now: Instant
  ) -> Transmit? {
    let slot = Int(entry.slot)
    if traffic.round != round {
      traffic.round = round
      // What a blocked socket kept it from using in an earlier round is gone.
      traffic.deficit = min(traffic.deficit, 0) + Self.quantum
    }
    guard let datagram = nextDatagram(slot, traffic, at: now) else {
      leave(slot, traffic, at: now)
      return nil
    }
    turnDatagramsLeft -= 1
    traffic.deficit -= datagram.count
    connections[slot].lastSent = now
    let transmit = Transmit(
      socket: connections[slot].socket, remote: connections[slot].remote,
      local: connections[slot].sendLocal, count: give(datagram, to: &buffer))
    if traffic.isFlushed { leave(slot, traffic, at: now) } else { join(entry) }
    return transmit
  }

  /// A connection has nothing to send now, and so no claim on later rounds.
  private mutating func leave(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    traffic.deficit = 0
    connections[slot].flags.remove(.isReady)
    queueIsEmpty(slot, traffic, at: now)
  }

  /// What a connection sends next; nil when there is nothing, or the window of its path is full.
  /// What must arrive and what need not take turns.
  private mutating func nextDatagram(_ slot: Int, _ traffic: Traffic, at now: Instant)
    -> PackedDatagram?
  {
    guard traffic.outbox != nil else { return nextUntracked(slot, traffic, at: now) }
    if !traffic.outboxHadItsTurn, let datagram = nextTracked(slot, traffic, at: now) {
      traffic.outboxHadItsTurn = true
      return datagram
    }
    traffic.outboxHadItsTurn = false
    if let datagram = nextUntracked(slot, traffic, at: now) { return datagram }
    return nextTracked(slot, traffic, at: now)
  }

  private mutating func nextUntracked(_ slot: Int, _ traffic: Traffic, at now: Instant)
    -> PackedDatagram?
  {
    if let datagram = nextPacked(slot, traffic) { return datagram }
    // What fills its datagrams has no room for an ack, and may be much: the peer waits for it.
    if !traffic.sealed.isEmpty || !traffic.waiting.isEmpty,
      var ack = beginAckAlone(slot, traffic, at: now)
    {
      return ack.seal()
    }
    // Those that wait and those that are packed take turns, so that neither starves the other.
    if !traffic.waiting.isEmpty, !traffic.waitingHadItsTurn || !othersArePacked(slot, traffic),
      let datagram = nextOfWaiting(slot, traffic, at: now)
    {
      traffic.waitingHadItsTurn = true
      return take(datagram, slot, traffic)
    }
    traffic.waitingHadItsTurn = false
    if traffic.sealed.isEmpty {
      if traffic.builder == nil { traffic.builder = beginAckAlone(slot, traffic, at: now) }
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
    return take(datagram, slot, traffic)
  }

  /// The next datagram of a connection that has sent nothing but what is packed at once, and owes no
  /// ack and no close: most have no more to think of.
  @inline(__always)
  private mutating func nextPacked(_ slot: Int, _ traffic: Traffic) -> PackedDatagram? {
    guard traffic.waiting.isEmpty, !owesAck(traffic), connections[slot].phase == .open,
      let sealed = traffic.sealed.popFirst() ?? takeOpen(traffic)
    else { return nil }
    traffic.waitingHadItsTurn = false
    traffic.datagramsTaken &+= 1
    return take(sealed, slot, traffic)
  }

  /// Whether something is packed that does not go with the first of those that wait.
  private func othersArePacked(_ slot: Int, _ traffic: Traffic) -> Bool {
    guard traffic.sealed.isEmpty else { return true }
    guard traffic.builder != nil, let first = traffic.waiting.first else { return false }
    return first.options.isAlone || first.bytes.count > singlePacketRoom(slot, first.head)
  }

  /// A datagram leaves: what is in it is queued no more.
  private mutating func take(_ datagram: SealedDatagram, _ slot: Int, _ traffic: Traffic)
    -> PackedDatagram
  {
    release(traffic, messages: datagram.messages, bytes: datagram.messageBytes)
    if datagram.messages > 0 { tellWritable(slot) }
    return datagram.datagram
  }

  /// The next datagram of the messages that wait in their own form: as many as fit, behind what is
  /// packed if nothing is full, or one packet of a larger one. Nil if none waits.
  private mutating func nextOfWaiting(
    _ slot: Int, _ traffic: Traffic, at now: Instant
  ) -> SealedDatagram? {
    dropLate(slot, traffic, at: now)
    guard let first = traffic.waiting.first else { return nil }
    if first.bytes.count > singlePacketRoom(slot, first.head) {
      return fragment(first, slot, traffic)
    }
    var sealed = SealedDatagram()
    let isAlone = first.options.isAlone
    var builder = traffic.sealed.isEmpty && !isAlone ? takeBuilder(traffic, &sealed) : nil
    let session = connections[slot].sendSession
    if builder?.room(for: first.head, session: session).map({ $0 < first.bytes.count }) ?? true {
      if var full = builder { return seal(&full, sealed, slot, traffic, at: now) }
      builder = DatagramBuilder(buffer: takeBuffer())
    }
    while let message = traffic.waiting.first, isAlone || !message.options.isAlone,
      builder?.append(message.head, session: session, payload: message.bytes.span) == true
    {
      _ = traffic.waiting.removeFirst()
      sealed.messages += 1
      sealed.messageBytes += message.bytes.count
      if isAlone { break }
      dropLate(slot, traffic, at: now)
    }
    guard var builder else { return nil }
    return seal(&builder, sealed, slot, traffic, at: now)
  }

  /// Takes the open datagram of a connection out, and says what is in it.
  private func takeBuilder(
    _ traffic: Traffic, _ sealed: inout SealedDatagram
  ) -> DatagramBuilder? {
    sealed.messages = traffic.builderMessages
    sealed.messageBytes = traffic.builderBytes
    traffic.builderMessages = 0
    traffic.builderBytes = 0
    // Numbered like those that are sealed first: a request in it is known by that.
    if traffic.builder != nil { traffic.datagramsTaken &+= 1 }
    return traffic.builder.take()
  }

  private mutating func seal(
    _ builder: inout DatagramBuilder, _ sealed: SealedDatagram, _ slot: Int,
    _ traffic: Traffic, at now: Instant
  ) -> SealedDatagram {
    append(owedAckOf: traffic, to: &builder, connections[slot].sendSession, at: now)
    var sealed = sealed
    sealed.datagram = builder.seal()
    return sealed
  }

  /// Drops the first of the messages that wait as long as those are too late.
  private mutating func dropLate(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    while let message = traffic.waiting.first, now > message.deadline, !message.hasBegun {
      _ = traffic.waiting.removeFirst()
      expire(message, slot, traffic)
    }
  }

  /// One packet of an unreliable message that needs several, in a datagram of its own.
  private mutating func fragment(
    _ message: WaitingMessage, _ slot: Int, _ traffic: Traffic
  ) -> SealedDatagram {
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
    if isLast { _ = traffic.waiting.removeFirst() } else { traffic.waiting.advanceFirst() }
    return SealedDatagram(
      datagram: builder.seal(), messages: isLast ? 1 : 0,
      messageBytes: isLast ? message.bytes.count : 0)
  }

  // MARK: Ends

  /// The box ends: what is packed or waits, and a close behind it, go without their connection.
  mutating func sendLast(_ slot: Int, at now: Instant) {
    var closeIsPacked = false
    if let traffic = connections[slot].traffic {
      while let datagram = nextOfWaiting(slot, traffic, at: now) {
        traffic.sealed.append(datagram)
        disown(slot, traffic)
      }
      // What must arrive has one chance, as far as its window lets it go.
      while let datagram = nextTracked(slot, traffic, at: now) {
        traffic.sealed.append(SealedDatagram(datagram: datagram))
        disown(slot, traffic)
      }
      appendOwedAck(slot, traffic, at: now)
      closeIsPacked = traffic.builder?.appendControl(.close(.normal)) == true
      seal(slot, traffic, at: now)
      disown(slot, traffic)
    }
    if !closeIsPacked {
      sendControl(.close(.normal), session: connections[slot].sendSession, slot, room: .max)
    }
  }

  /// Sends the close of a connection, behind the ack that is owed.
  mutating func sendClose(_ slot: Int, _ reason: CloseReason, at now: Instant) {
    guard let traffic = connections[slot].traffic,
      var builder = beginAckAlone(slot, traffic, at: now)
    else { return sendControl(.close(reason), session: connections[slot].sendSession, slot) }
    let isPacked = builder.appendControl(.close(reason))
    traffic.sealed = FIFO()
    traffic.sealed.append(SealedDatagram(datagram: builder.seal()))
    disown(slot, traffic)
    if !isPacked { sendControl(.close(reason), session: connections[slot].sendSession, slot) }
  }

  private mutating func disown(_ slot: Int, _ traffic: Traffic) {
    while let datagram = traffic.sealed.popFirst() {
      enqueue(
        OutDatagram(
          content: .packed(datagram.datagram), remote: connections[slot].remote,
          local: connections[slot].sendLocal),
        on: connections[slot].socket)
    }
  }

  /// Whether the open datagram is the last one of a connection that the program has ended: its
  /// close goes with it.
  @inline(__always)
  private func isLastDatagram(_ slot: Int, _ traffic: Traffic) -> Bool {
    connections[slot].phase == .closing && traffic.builder?.isEmpty == false
      && !traffic.closeIsPacked && traffic.waiting.isEmpty
      && (traffic.outbox?.isEmpty ?? true)
  }

  /// A connection has sent everything that it could: one that is being closed may be done.
  private mutating func queueIsEmpty(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    armRecovery(slot, traffic, at: now)
    if connections[slot].phase == .closing, traffic.isFlushed { finishClosing(slot, at: now) }
  }
}
