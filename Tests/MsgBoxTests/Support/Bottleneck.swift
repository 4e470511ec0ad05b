import MsgBox

/// A pipe of a fixed rate with a drop-tail queue in front of it; what several links send shares it.
final class Bottleneck {
  /// Bits per second; 0 is unlimited.
  var bandwidth: UInt64
  /// What waits for the pipe and what is in it may be so many bytes together, IP headers included.
  /// One datagram always finds room in an empty queue.
  var queueBytes: Int
  /// IP packets that went through, their bytes, and those that found the queue full.
  private(set) var packets = 0
  private(set) var bytes = 0
  private(set) var drops = 0
  private var freeAt: UInt64 = 0

  init(bandwidth: UInt64, queueBytes: Int = 65_536) {
    self.bandwidth = bandwidth
    self.queueBytes = queueBytes
  }

  /// When the last bit of an IP packet of `count` bytes has gone through; nil if there is no room
  /// for it.
  func departure(of count: Int, at now: Instant) -> Instant? {
    guard bandwidth > 0 else { return pass(count, now) }
    if freeAt > now.nanoseconds, backlog(at: now) + count > queueBytes {
      drops += 1
      return nil
    }
    return enqueue(count, at: now)
  }

  /// As `departure`, for who waits for room instead of losing anything: bytes of streams, whose
  /// windows bound what they send.
  func enqueue(_ count: Int, at now: Instant) -> Instant {
    guard bandwidth > 0 else { return pass(count, now) }
    let nanoseconds = UInt64(count) * 8_000_000_000 / bandwidth
    freeAt = max(freeAt, now.nanoseconds) + nanoseconds
    return pass(count, Instant(nanoseconds: freeAt))
  }

  /// Bytes that are in the queue and in the pipe.
  func backlog(at now: Instant) -> Int {
    guard freeAt > now.nanoseconds else { return 0 }
    let seconds = Double(freeAt - now.nanoseconds) / 1e9
    return Int((seconds * Double(bandwidth) / 8).rounded(.up))
  }

  private func pass(_ count: Int, _ departure: Instant) -> Instant {
    packets += 1
    bytes += count
    return departure
  }
}
