import MsgBox

/// Parts of messages in any order, true and false, through `Reassembly` and through its model, which searches everything
/// anew: results, bytes and messages held are the same.
enum FragmentsFuzz {
  private static let largest = 350

  static func run(_ input: inout FuzzInput) {
    var reassembly = Reassembly()
    var model = ReassemblyModel()
    var buffers = LargeBuffers()
    var now = Instant(nanoseconds: 0)
    let bound = input.flag() ? 1 << 20 : 1500 + Int(input.byte()) * 8
    var steps = 0
    while !input.isEmpty, steps < 2000 {
      steps += 1
      let fragment = fragment(&input)
      switch input.byte() % 16 {
      case 0:
        reassembly.remove(fragment.key)
        model.remove(fragment.key)
      case 1:
        now = now + .milliseconds(UInt64(input.byte()) * 50)
        hold(reassembly.expire(at: now) == model.expire(at: now))
      case 2:
        now = now + .milliseconds(UInt64(input.byte()) * 50)
        add(fragment, &reassembly, &model, &buffers, bound, now)
      default:
        add(fragment, &reassembly, &model, &buffers, bound, now)
      }
      hold(reassembly.heldBytes == model.heldBytes && reassembly.count == model.count)
      guard hold(reassembly.heldBytes <= bound) else { return }
    }
    hold(reassembly.takeFreed() == model.freed)
  }

  private static func add(
    _ fragment: ReassemblyModel.Fragment, _ reassembly: inout Reassembly,
    _ model: inout ReassemblyModel, _ buffers: inout LargeBuffers, _ bound: Int, _ now: Instant
  ) {
    let result = reassembly.add(
      fragment.key, replyID: fragment.replyID, numPackets: UInt16(fragment.packets),
      packetID: UInt16(fragment.index), payload: fragment.bytes.span, largest: largest,
      allowance: bound - reassembly.heldBytes, buffers: &buffers, at: now)
    let expected = model.add(fragment, largest: largest, bound: bound, at: now)
    hold(result == expected, "\(result) is not \(expected)")
    if case .complete(let bytes) = result { buffers.give(bytes) }
  }

  /// Of one of 64 messages; mostly as its shape says, which follows from its number.
  private static func fragment(_ input: inout FuzzInput) -> ReassemblyModel.Fragment {
    let kinds: [PacketKind] = [.oneWay, .request, .reply, .reliable]
    let id = Int(input.byte())
    let packets = 2 + id / 4 % 5
    let size = 1 + id * 7 % 70
    let index = Int(input.byte())
    var fragment = ReassemblyModel.Fragment(
      key: FragmentKey(kind: kinds[id % 4], messageID: UInt32(id)), replyID: UInt16(id % 3),
      packets: packets, index: index % packets, bytes: [])
    var count = fragment.index == packets - 1 ? 1 + size / 2 : size
    switch index / 32 {
    case 5: fragment.packets = Int(input.byte() % 10)
    case 6: count = Int(input.byte() % 80)
    case 7:
      fragment.index = Int(input.byte() % 12)
      fragment.replyID = UInt16(input.byte() % 4)
    default: break
    }
    fragment.bytes = (0..<count).map {
      UInt8(truncatingIfNeeded: id &* 31 &+ fragment.index &* 7 &+ $0)
    }
    return fragment
  }
}
