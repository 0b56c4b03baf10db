package scenarios

// spotSource is where the bands of interruptions come from.
const spotSource = "AWS Spot Advisor of 2025-06-28, us-east-1 (alexei-led/spotinfo, commit 05e9331): the middle of " +
	"the band of interruptions in a month"

// spotBands are the parts of spot machines that were interrupted within a month, by instance type: the middle of the
// published band, and of the open one above 20 % its lower end and a quarter.
var spotBands = map[string]float64{
	"p5.48xlarge": 0.25, "p5en.48xlarge": 0.025, "p4d.24xlarge": 0.125, "p4de.24xlarge": 0.025,
	"g5.48xlarge": 0.25, "g6.48xlarge": 0.25, "g6e.48xlarge": 0.25, "g4dn.xlarge": 0.175,
}

// hoursPerMonth turns them into a rate per hour.
const hoursPerMonth = 730

// interruptions is the rate per hour at which spot machines of a type are taken back, and its source; 0 where no band
// is known.
func interruptions(instanceType string) (perHour float64, source string) {
	if band, ok := spotBands[instanceType]; ok {
		return band / hoursPerMonth, spotSource
	}
	return 0, "no band of interruptions is known of this type"
}
