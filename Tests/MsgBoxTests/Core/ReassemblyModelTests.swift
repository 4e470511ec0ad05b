import MsgBox
import Testing

@Suite("Reassembly against a model")
struct ReassemblyModelTests {
  private let kinds: [PacketKind] = [.oneWay, .request, .reply, .reliable]

  /// A fragment of one of the last messages; now and then one that breaks a rule.
  private func fragment(
    _ random: inout SeededRandom, newest: Int, breaks: Int
  ) -> ReassemblyModel.Fragment {
    let id = max(0, newest - random.below(random.chance(30) ? 100 : 8))
    var shape = SeededRandom(seed: UInt64(id))
    let packets = 2 + shape.below(7)
    let size = 1 + shape.below(60)
    let last = 1 + shape.below(size)
    let kind = kinds[shape.below(4)]
    let replyID = UInt16(shape.below(3))
    let index = random.below(packets)
    var content = SeededRandom(seed: UInt64(id * 100 + index))
    var fragment = ReassemblyModel.Fragment(
      key: FragmentKey(kind: kind, messageID: UInt32(id)), replyID: replyID, packets: packets,
      index: index, bytes: content.bytes(index == packets - 1 ? last : size))
    guard random.chance(breaks) else { return fragment }
    switch random.below(4) {
    case 0: fragment.packets = random.below(10)
    case 1: fragment.replyID = 9
    case 2: fragment.index = random.below(12)
    default: fragment.bytes = random.bytes(random.below(70))
    }
    return fragment
  }

  @Test("Random fragments with copies, losses and broken rules, with room and without")
  func model() {
    for seed in UInt64(0)..<8 {
      var random = SeededRandom(seed: seed)
      var reassembly = Reassembly()
      var model = ReassemblyModel()
      var now = Instant(nanoseconds: 0)
      var completed = 0
      var buffers = LargeBuffers()
      let bound = seed % 2 == 0 ? 1 << 20 : 4000
      for step in 0..<5000 {
        now = now + .milliseconds(UInt64(random.below(random.chance(5) ? 9000 : 20)))
        let fragment = fragment(&random, newest: step / 25, breaks: seed < 4 ? 10 : 0)
        let result = reassembly.add(
          fragment.key, replyID: fragment.replyID, numPackets: UInt16(fragment.packets),
          packetID: UInt16(fragment.index), payload: fragment.bytes.span, largest: 350,
          allowance: bound - reassembly.heldBytes, buffers: &buffers, at: now)
        let expected = model.add(fragment, largest: 350, bound: bound, at: now)
        #expect(result == expected)
        if case .complete(let bytes) = result {
          completed += 1
          buffers.give(bytes)
        }
        if random.chance(20) {
          reassembly.remove(fragment.key)
          model.remove(fragment.key)
        }
        if random.chance(50) {
          let expired = reassembly.expire(at: now)
          #expect(expired == model.expire(at: now))
        }
        guard reassembly.heldBytes == model.heldBytes, reassembly.count == model.count,
          reassembly.heldBytes <= bound
        else {
          Issue.record("seed \(seed), step \(step): \(reassembly.heldBytes), \(model.heldBytes)")
          return
        }
      }
      let freed = reassembly.takeFreed()
      #expect(freed == model.freed && (bound > 4000) == (freed == 0))
      #expect(completed > 20)
    }
  }
}
