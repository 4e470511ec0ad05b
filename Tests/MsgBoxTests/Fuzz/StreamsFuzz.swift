import MsgBox

/// A stream of any bytes: whatever splits it, and whether its frames are read straight into their memory, the frames,
/// the failure and the rest are the same.
enum StreamsFuzz {
  private struct Outcome: Equatable {
    var heads: [FrameHead] = []
    var payloads: [[UInt8]] = []
    var failure: DropReason?
    /// Of the frame that is not complete.
    var missing = 0
    var isInside = false
  }

  static func run(_ input: inout FuzzInput) {
    let limits = [0, 40, 1000, 200_000]
    let maxMessage = limits[Int(input.byte()) % limits.count]
    let splits = input.string()
    var stream = input.rest()
    // A long frame, so that it is read directly.
    if let last = stream.last, last == 0xff {
      stream += [UInt8](repeating: 7, count: StreamDeframer.directBytes + Int(stream[0]) * 7)
    }
    let whole = outcome(of: stream, maxMessage, readsDirectly: false) { _ in stream.count }
    hold(whole.payloads.allSatisfy { $0.count <= maxMessage + WireFormat.frameOverhead })
    let cut = { (index: Int) in splits.isEmpty ? 1 : Int(splits[index % splits.count]) + 1 }
    let single = { (_: Int) in stream.count > 5000 ? 97 : 1 }
    let pieces = [
      outcome(of: stream, maxMessage, readsDirectly: false, cut),
      outcome(of: stream, maxMessage, readsDirectly: true, cut),
      outcome(of: stream, maxMessage, readsDirectly: false, single),
    ]
    for piece in pieces { hold(piece == whole, "\(piece) is not \(whole)") }
  }

  /// `piece` tells how long the piece of that number is, at most.
  private static func outcome(
    of stream: [UInt8], _ maxMessage: Int, readsDirectly: Bool, _ piece: (Int) -> Int
  ) -> Outcome {
    var deframer = StreamDeframer()
    var outcome = Outcome()
    var start = 0
    var index = 0
    while start < stream.count, outcome.failure == nil {
      let end = min(start + max(piece(index), 1), stream.count)
      if readsDirectly, deframer.missingBytes > 0 {
        start += read(stream[start..<end], &deframer, &outcome)
      } else {
        take(Array(stream[start..<end]), maxMessage, &deframer, &outcome)
        start = end
      }
      index += 1
      // What came allows four times as much, and a direct read its room; the rest is rounding.
      let allowed = 4 * (start + (readsDirectly ? StreamDeframer.directBytes : 0)) + 64
      hold(deframer.heldBytes <= allowed, "\(deframer.heldBytes) bytes are held after \(start)")
    }
    if outcome.failure == nil {
      outcome.missing = deframer.missingBytes
      outcome.isInside = deframer.isInsideFrame
    }
    return outcome
  }

  /// Lets a piece be read directly; how much of it was.
  private static func read(
    _ piece: ArraySlice<UInt8>, _ deframer: inout StreamDeframer, _ outcome: inout Outcome
  ) -> Int {
    var count = 0
    let missing = deframer.missingBytes
    var buffers = LargeBuffers()
    let frame = unsafe deframer.read(buffers: &buffers) { room in
      count = min(room.count, piece.count)
      for offset in 0..<count { unsafe room[offset] = piece[piece.startIndex + offset] }
      return count
    }
    hold(count > 0 && count <= missing && (frame != nil) == (count == missing))
    if let frame { keep(frame, [], &deframer, &outcome) }
    return count
  }

  private static func take(
    _ piece: [UInt8], _ maxMessage: Int, _ deframer: inout StreamDeframer,
    _ outcome: inout Outcome
  ) {
    var offset = 0
    var buffers = LargeBuffers()
    do throws(DropReason) {
      while let frame = try deframer.next(
        piece.span, from: &offset, maxMessage: maxMessage, buffers: &buffers)
      {
        guard hold(offset <= piece.count) else { return }
        keep(frame, piece, &deframer, &outcome)
      }
      hold(offset == piece.count, "bytes that are not taken")
    } catch {
      outcome.failure = error
    }
  }

  private static func keep(
    _ frame: Frame, _ piece: [UInt8], _ deframer: inout StreamDeframer, _ outcome: inout Outcome
  ) {
    outcome.heads.append(frame.head)
    switch frame.payload.place {
    case .none: outcome.payloads.append([])
    case .input: outcome.payloads.append(Array(piece[frame.payload.range]))
    case .owned: outcome.payloads.append(deframer.takeWhole())
    }
    hold(outcome.payloads.last?.count == frame.head.rest)
  }
}
