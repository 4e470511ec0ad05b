/// Requests of the peer: taken in once, told of, and open until they are answered.
///
/// Most are answered in the call that tells of them, so a request takes a place among the open ones
/// only when the next event is asked for; until then it has but the handle of the place that is
/// reserved for it.
extension Endpoint {
  /// Takes in a request that is to be told of: returns the word of its event; nil if it came before, or
  /// there is something wrong with it. `isWhole` says that it came in one packet.
  @inline(__always)
  mutating func take(
    request replyID: UInt16, _ messageID: UInt32?, isWhole: Bool, _ slot: Int, _ traffic: Traffic,
    isTracked: Bool, at now: Instant
  ) -> UInt64? {
    let isImplicit = connections[slot].flags.contains(.implicit)
    guard replyID != 0, isImplicit || messageID != nil else {
      drop(.malformed, slot)
      return nil
    }
    let isNumbered = connections[slot].transport == .udp && !isImplicit
    // One of several packets was new when the first of them came.
    if isNumbered, isWhole, let messageID, traffic.requestWindow.contains(messageID) {
      repeatReply(replyID, messageID, slot, traffic, at: now)
      return nil
    }
    let hasRoom = hasRoomForRequest && traffic.openRequests.count < Int(UInt16.max)
    guard hasRoom || makeRoom(forRequestOf: slot, traffic, isTracked: isTracked) else {
      refuse(.requestsFull, slot)
      return nil
    }
    if isNumbered, let messageID {
      if traffic.requestWindow.isEmpty {
        traffic.requestWindow = RequestWindow(
          startingWith: messageID, memory: repeatMemory, at: now)
      }
      _ = traffic.requestWindow.insert(messageID, at: now)
    }
    untoldRequests &+= 1
    return RequestWord(
      replyID: replyID, messageID: isImplicit ? nil : messageID,
      isTracked: isTracked && !isImplicit
    ).bits
  }

  /// Whether one more request finds a place, beside those that are told of first.
  @inline(__always)
  private var hasRoomForRequest: Bool { requests.hasRoom(for: untoldRequests &+ 1) }

  /// Makes room for one more open request of a connection.
  ///
  /// A peer has at most 65535 ids in use, so the oldest of more than that is one it has given up. If
  /// the box is full, of a few connections drawn by what they hold, the one that holds most loses its
  /// oldest: it is drawn almost surely, and what it holds is old, or it would not hold so much. A
  /// request that comes in datagrams that are acknowledged cannot come again, so at worst it takes
  /// the place of an older one of its own.
  @inline(never)
  private mutating func makeRoom(
    forRequestOf slot: Int, _ traffic: Traffic, isTracked: Bool
  ) -> Bool {
    let own = traffic.openRequests
    if own.count >= Int(UInt16.max) { return giveUpOldest(slot, own) }
    if hasRoomForRequest { return true }
    guard let holder = drawLargestHolder(), let held = connections[holder].traffic?.openRequests
    else { return false }
    if held.count > own.count + 1 { return giveUpOldest(holder, held) }
    guard isTracked else { return false }
    return own.count > 0 ? giveUpOldest(slot, own) : giveUpOldest(holder, held)
  }

  private mutating func giveUpOldest(_ slot: Int, _ list: SlotList) -> Bool {
    guard let oldest = list.first else { return false }
    drop(.requestsFull, slot)
    removeRequest(oldest)
    return true
  }

  /// Of the connections of eight open requests that are drawn, when all slots are taken, the one
  /// that has most.
  private mutating func drawLargestHolder() -> Int? {
    let slots = UInt64(requests.slots.count)
    guard slots > 0 else { return nil }
    var largest: (slot: Int, count: Int)?
    for _ in 0..<8 {
      let drawn = Int(truncatingIfNeeded: random.below(slots))
      guard requests.isLive(drawn) else { continue }
      let slot = Int(requests[drawn].connection)
      let count = connections[slot].traffic?.openRequests.count ?? 0
      if count > largest?.count ?? 0 { largest = (slot, count) }
    }
    return largest?.slot
  }

  /// A request came again: its reply is sent again, if it is made and kept.
  @inline(never)
  private mutating func repeatReply(
    _ replyID: UInt16, _ messageID: UInt32, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) {
    drop(.duplicate, slot)
    // Behind a socket that takes nothing copies would only pile up: the peer asks again.
    guard !sockets[Int(connections[slot].socket.rawValue)].isBlocked,
      traffic.replyCache?.take(
        messageID: messageID, replyID: replyID, at: now, into: &repeated) == .reply
    else { return }
    let head = MessageHead(kind: .reply, replyID: replyID, messageID: messageID)
    packRepeated(head, slot, traffic, at: now)
  }

  /// Sends the payload at hand, which was sent before.
  mutating func packRepeated(
    _ head: MessageHead, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) {
    traffic.resent &+= 1
    let bytes = repeated
    pack(head, bytes.span, slot, traffic, counts: false, at: now)
  }

  /// Whether a reply is kept: over UDP its request may come again, and one packet holds it.
  func isCached(_ head: MessageHead, _ count: Int, _ slot: Int) -> Bool {
    connections[slot].transport == .udp && count <= singlePacketRoom(slot, head)
  }

  /// Keeps a reply that was just queued, for a request that comes again.
  @inline(__always)
  mutating func cacheReply(
    _ messageID: UInt32, _ replyID: UInt16, _ message: Span<UInt8>, _ traffic: Traffic,
    at now: Instant
  ) {
    if traffic.replyCache == nil { traffic.replyCache = ReplyCache(memory: repeatMemory) }
    traffic.replyCache?.add(messageID: messageID, replyID: replyID, bytes: message, at: now)
  }

  // MARK: Told of, and not yet open

  /// The handle of a request of which an event is about to tell.
  @inline(__always)
  mutating func nameRequest(_ bits: UInt64, of slot: UInt32) -> Handle {
    untoldRequests &-= 1
    if reservedRequest == .none { reserveRequest() }
    let handle = reservedRequest
    polledRequest = PolledRequest(
      handle: handle, connection: slot, word: RequestWord(bits: bits))
    // Of a connection that has ended meanwhile no request can be answered.
    if connections[Int(slot)].phase != .open { forgetPolledRequest() }
    return handle
  }

  @inline(never)
  private mutating func reserveRequest() {
    guard let (slot, generation) = requests.reserve() else { return }
    reservedRequest = Handle(box: configuration.box, slot: slot, generation: generation)
  }

  /// The request that was told of last has its answer, or can have none: its handle is good no more,
  /// and the next one has another generation.
  @inline(__always)
  mutating func forgetPolledRequest() {
    polledRequest.handle = .none
    guard reservedRequest.generation &+ 1 < Handle.maxGeneration else {
      return retireReservedRequest()
    }
    reservedRequest.rawValue &+= 1
  }

  @inline(never)
  private mutating func retireReservedRequest() {
    if reservedRequest != .none { requests.retire(reservedRequest.slot) }
    reservedRequest = .none
  }

  /// The request that was told of last has no answer yet: it becomes one of the open ones.
  @inline(never)
  mutating func keepPolledRequest() {
    let polled = polledRequest
    polledRequest.handle = .none
    reservedRequest = .none
    requests.occupy(
      polled.handle.slot, generation: polled.handle.generation,
      OpenRequest(connection: polled.connection, word: polled.word),
      in: &traffic(Int(polled.connection)).openRequests)
  }

  // MARK: Open

  mutating func removeRequest(_ index: Int) {
    guard let traffic = connections[Int(requests[index].connection)].traffic else { return }
    requests.remove(index, from: &traffic.openRequests)
  }

  mutating func removeAllRequests(_ slot: Int) {
    if polledRequest.handle != .none, Int(polledRequest.connection) == slot {
      forgetPolledRequest()
    }
    guard let traffic = connections[slot].traffic else { return }
    while let first = traffic.openRequests.first { removeRequest(first) }
  }
}
