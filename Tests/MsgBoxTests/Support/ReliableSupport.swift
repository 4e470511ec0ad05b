import MsgBox

extension Node {
  /// Sends reliably, with a key or a deadline.
  func sendReliably(
    _ bytes: [UInt8], to handle: Handle, channel: UInt8, outcome context: UInt, key: UInt64,
    deadline: Interval = .milliseconds(0)
  ) -> Status {
    var options = reliableOptions(channel: channel, outcome: context)
    options.key = key
    options.deadline = deadline
    return send(bytes, to: handle, options: options)
  }

  /// The contexts of the messages that were delivered.
  var deliveredContexts: [UInt] { log.all(.delivered).map(\.getContext) }

  /// The contexts and reasons of those that were not.
  var undelivered: [UInt: Status] {
    var result: [UInt: Status] = [:]
    for event in log.all(.undelivered) {
      if result.updateValue(event.status, forKey: event.getContext) != nil {
        simulation.violation("\(name): a second outcome of \(event.getContext)")
      }
    }
    return result
  }
}

/// A message that tells its channel and its place among those that were sent there.
enum Marked {
  static func bytes(channel: UInt8, index: Int, size: Int) -> [UInt8] {
    let head = [channel] + RawPacket.u32(UInt32(index))
    var bytes = head
    bytes.reserveCapacity(max(size, head.count))
    while bytes.count < size { bytes.append(UInt8(truncatingIfNeeded: bytes.count &* 31 &+ index)) }
    return bytes
  }

  /// Channel and index, if the message arrived as it was made.
  static func read(_ bytes: [UInt8]) -> (channel: UInt8, index: Int)? {
    guard bytes.count >= 5, let index = RawPacket.number(bytes, at: 1, count: 4) else { return nil }
    let isIntact = bytes == Self.bytes(channel: bytes[0], index: Int(index), size: bytes.count)
    return isIntact ? (bytes[0], Int(index)) : nil
  }
}

extension RawPacket {
  /// A numbered datagram with packets that have no session of their own.
  static func numbered(_ number: UInt32, _ session: UInt64, _ packets: [UInt8]...) -> [UInt8] {
    u16(0xc000 | Self.session | length | 14) + u16(1) + u16(0) + u16(0) + u64(session) + u16(4)
      + u32(number) + packets.flatMap { $0 }
  }

  /// A reliable packet that runs to the end of its datagram.
  static func reliable(
    channel: UInt8, place: UInt32, messageID: UInt32, packets: UInt16 = 1, packet: UInt16 = 0,
    _ payload: [UInt8]
  ) -> [UInt8] {
    u16(0xc000 | fragment | 15) + u16(packets) + u16(packet) + u16(0) + u32(messageID) + [channel]
      + u32(place) + payload
  }

  /// A packet of a one-way message, in a datagram of its own.
  static func part(
    _ session: UInt64, messageID: UInt32, packets: UInt16, packet: UInt16, _ payload: [UInt8]
  ) -> [UInt8] {
    header(.oneWay, session: session, flags: fragment, packets: packets, packet: packet)
      + u32(messageID) + payload
  }
}

extension Datagram {
  /// The number of a numbered datagram.
  var number: UInt32? {
    guard bytes.count >= 22, bytes[0] >> 6 == 3, bytes[1] == 14 else { return nil }
    let at = bytes[0] & 0x04 == 0 ? 16 : 18
    return RawPacket.number(bytes, at: at, count: 4).map { UInt32(truncatingIfNeeded: $0) }
  }

  /// The largest number that an ack at its front names.
  var acknowledged: UInt32? {
    guard bytes.count >= 24, bytes[0] >> 6 == 3, bytes[1] == 11, bytes[0] & 0x08 != 0 else {
      return nil
    }
    let at = bytes[0] & 0x04 == 0 ? 16 : 18
    return RawPacket.number(bytes, at: at, count: 4).map { UInt32(truncatingIfNeeded: $0) }
  }
}

/// Options that take as many messages as a test likes.
func roomyOptions(largest: UInt32 = 0) -> ConnectionOptions {
  var options = ConnectionOptions()
  options.sendMarkMessages = 1_000_000
  options.sendMarkBytes = 1 << 30
  options.maxMessageBytes = largest
  return options
}
