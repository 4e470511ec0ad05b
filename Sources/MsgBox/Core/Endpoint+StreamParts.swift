/// Frames that come in parts: how much is there, and where what is missing is read to.
extension Endpoint {
  /// How much is missing of a large message on a stream that is to be read with `readStream`; 0 if
  /// what comes is to be given to `receiveStream`.
  package func missingBytes(of socket: SocketID) -> Int {
    guard let missing = stream(socket)?.deframer.missingBytes,
      missing >= StreamDeframer.directBytes, sockets[Int(socket.rawValue)].phase == .open
    else { return 0 }
    return missing
  }

  /// Lets `read` put what comes next on a stream straight behind what is there of a large message:
  /// it gets the room for some of the bytes that are missing, and returns how many it has put there.
  package mutating func readStream(
    _ socket: SocketID, at now: Instant, _ read: (UnsafeMutableRawBufferPointer) -> Int
  ) {
    guard missingBytes(of: socket) > 0, let stream = stream(socket), let slot = owner(socket) else {
      return
    }
    let before = stream.deframer.missingBytes
    let frame = unsafe stream.deframer.read(
      credit: credit(stream, socket), buffers: &largeBuffers, read)
    let came = before - stream.deframer.missingBytes
    guard came > 0 else { return }
    connections[slot].lastHeard = now
    counters.bytesReceived &+= UInt64(came)
    do throws(DropReason) {
      if let frame {
        ownWhole(of: stream, socket)
        try receiveFrame(frame, Span(), slot, at: now)
        giveBackWhole()
      }
    } catch {
      giveBackWhole()
      counters.drop(error)
      breakStream(socket, at: now)
    }
    partMoved(socket, at: now)
  }

  /// What a frame of a stream may have for memory before its bytes have come: as much as its peer
  /// has shown once that it sends, within what the box may still hold.
  func credit(_ stream: StreamState, _ socket: SocketID) -> FrameCredit {
    var credit = FrameCredit()
    credit.allowance = max(Int(clamping: limits.receiveBytes) - heldByStreams + stream.heldBytes, 0)
    let proven = sockets[Int(socket.rawValue)].provenBits
    if proven > 0, 1 << Int(proven) <= credit.allowance { credit.proven = 1 << Int(proven) }
    return credit
  }

  /// Makes the frame that came in pieces the message at hand.
  mutating func ownWhole(of stream: StreamState, _ socket: SocketID) {
    let index = Int(socket.rawValue)
    let count = own(stream.deframer.takeWhole()).count
    // A quarter more, for what the system adds to a block of memory.
    let bits = UInt8(truncatingIfNeeded: Int.bitWidth - (count + count / 4).leadingZeroBitCount)
    sockets[index].provenBits = max(sockets[index].provenBits, bits)
  }

  /// A stream has more or less of a frame than before.
  mutating func partMoved(_ socket: SocketID, at now: Instant) {
    guard let stream = stream(socket) else { return }
    notePart(stream, socket, at: now)
    holdPart(stream, socket, at: now)
    rest(socket)
  }

  /// A part of a message wants a sign of life too, from one that is silent when idle: its sender
  /// cannot wait for the end of a long one.
  private mutating func notePart(_ stream: StreamState, _ socket: SocketID, at now: Instant) {
    guard stream.deframer.heldBytes > 0, let slot = owner(socket),
      connections[slot].flags.contains(.onDemand), connections[slot].phase == .open
    else { return }
    messageMoved(slot, traffic(slot), isOurs: false, at: now)
  }

  /// Counts what is there of a frame in what streams hold. When that is more than all may hold together,
  /// some are ended: they could not go on without their frames.
  private mutating func holdPart(_ stream: StreamState, _ socket: SocketID, at now: Instant) {
    guard self.stream(socket) === stream, sockets[Int(socket.rawValue)].phase == .open else {
      return
    }
    if stream.part != stream.deframer.part {
      stream.part = stream.deframer.part
      stream.partBegan = now
    }
    let held = stream.deframer.heldBytes
    guard held != stream.heldBytes else { return }
    let isMore = held > stream.heldBytes
    heldByStreams += held - stream.heldBytes
    stream.heldBytes = held
    let excess = heldByStreams - Int(clamping: limits.receiveBytes)
    if isMore, excess > 0 { endSlowest(toFree: excess, at: now) }
  }

  /// Ends the streams whose parts came most slowly, and not the one that happens to need room: else who
  /// begins many frames and goes on with none would keep all others from theirs. Those that our own program
  /// does not read come last: they cannot go on. So much is freed beyond what is needed that all streams
  /// need not be looked at again soon.
  private mutating func endSlowest(toFree excess: Int, at now: Instant) {
    var parts: [(isPaused: Bool, pace: UInt64, socket: SocketID)] = []
    var left = excess
    for index in 0..<sockets.count {
      guard sockets[index].phase == .open, let stream = sockets[index].stream, stream.heldBytes > 0
      else { continue }
      parts.append(
        (sockets[index].isPaused, stream.pace(at: now), SocketID(rawValue: UInt32(index))))
      left += stream.heldBytes / 16
    }
    parts.sort { $0.isPaused == $1.isPaused ? $0.pace < $1.pace : $1.isPaused }
    for part in parts where left > 0 {
      left -= stream(part.socket)?.heldBytes ?? 0
      if let slot = owner(part.socket) { endForMemory(slot, at: now) }
    }
  }

  /// A stream holds nothing of a frame any more.
  mutating func holdNothing(_ stream: StreamState) {
    heldByStreams -= stream.heldBytes
    stream.heldBytes = 0
    stream.part = 0
    stream.deframer = StreamDeframer()
  }
}

extension StreamState {
  /// Bytes a second of a part of a frame, which has a second for nothing.
  fileprivate func pace(at now: Instant) -> UInt64 {
    let milliseconds = 1000 + now.since(partBegan).nanoseconds / 1_000_000
    return UInt64(deframer.partBytes) * 1000 / milliseconds
  }
}
