/// Numbers of the wire format. notes.md has the same tables; a test holds the two against each
/// other.
package enum WireFormat {
  // Specification.

  /// A datagram is never larger: the least IPv6 MTU of 1280 bytes (RFC 8200 5) less IPv6 and UDP
  /// headers and room for a tunnel.
  package static let maxDatagram = 1200
  /// Bits 15 and 14 of message_type, so that a datagram is told from STUN's 00 by its first bits
  /// (RFC 7983 7).
  package static let magic: UInt16 = 0b11
  package static let version: UInt16 = 0

  /// Payload of a lone one-way message: a datagram less header and session id.
  package static let maxLonePayload = maxDatagram - PacketHeader.size - sessionSize
  package static let sessionSize = 8
  package static let lengthSize = 2
  package static let messageIDSize = 4
  /// Channel 1, place 4.
  package static let channelPlaceSize = 5
  package static let datagramNumberSize = 4
  /// The packet at the front of a numbered datagram: header, session id, length and number.
  package static let numberPacketSize =
    PacketHeader.size + sessionSize + lengthSize + datagramNumberSize

  /// The packets of one message: num_packets has 16 bits.
  package static let maxPackets = 65_535
  /// How far above the lowest place of its channel that is not acknowledged a message's place may
  /// be. Bounds what a receiver must remember of a channel.
  package static let channelWindow: UInt32 = 16_384
  /// The ranges of one ack: 1044 bytes with header and session id.
  package static let maxAckRanges = 256
  /// The unit of an ack's delay, in nanoseconds.
  package static let ackDelayUnit: UInt64 = 16_000

  /// The first field of a TCP frame: the bytes that follow it.
  package static let frameLengthSize = 4
  /// The largest message that may be allowed, on either transport.
  package static let maxMessage = 67_108_864
  /// What a frame may have besides its message.
  package static let frameOverhead = 64

  // Choices of this implementation.

  /// Payload of a fragment of an unreliable one-way message, which has a datagram for itself
  /// without a number.
  package static let oneWayFragment = maxLonePayload - messageIDSize
  /// Payload of a fragment of a request or reply, which has a numbered datagram for itself.
  package static let requestFragment =
    maxDatagram - numberPacketSize - PacketHeader.size - messageIDSize
  /// Payload of a fragment of a reliable message, which has a numbered datagram for itself.
  package static let reliableFragment = requestFragment - channelPlaceSize

  /// How many packets of `size` payload bytes a message of `count` bytes needs: 1...65535.
  package static func packetCount(_ count: Int, size: Int) -> UInt16 {
    UInt16(clamping: max((count + size - 1) / max(size, 1), 1))
  }

  /// The bytes of a message that its packet `index` carries.
  package static func packetRange(_ index: Int, of count: Int, size: Int) -> Range<Int> {
    let start = min(index * size, count)
    return start..<min(start + size, count)
  }

  /// The largest message that is accepted unless the options say otherwise.
  package static let defaultDatagramLargest = 1_048_576
  package static let defaultStreamLargest = 16_777_216

  /// Less than this is not believed of a peer's `lost_after`, so that no peer can ask for a flood
  /// of heartbeats.
  package static let leastLostAfter: UInt32 = 1000
}
