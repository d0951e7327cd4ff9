package regzip_test

// golden are the first 8 bytes of the SHA-256 of what gzip made, by level.
var golden = map[string]map[int]string{
	"empty":                       {4: "59869db34853933b", 6: "59869db34853933b", 9: "f61f27bd17de5462"},
	"one byte":                    {4: "9ece04efd6adc177", 6: "9ece04efd6adc177", 9: "394e0a2720b246cf"},
	"two bytes":                   {4: "775326792edaf9ed", 6: "775326792edaf9ed", 9: "f69e19a8906d29c8"},
	"few different":               {4: "7213f3daa30de91d", 6: "7213f3daa30de91d", 9: "45a73db9312cd5f3"},
	"noise":                       {4: "da9bf3a0f433e8b0", 6: "da9bf3a0f433e8b0", 9: "082f05b0628fe8e7"},
	"noise of few letters":        {4: "e252ba4292dc33d7", 6: "d2b4a8130e97749e", 9: "ed06da9adf4594b4"},
	"words":                       {4: "0879a33dc85c3f52", 6: "52f2b881a45726bf", 9: "53de9c7aa9a27013"},
	"rare words":                  {4: "7c6248f5062fa5fb", 6: "344a8b5923661a64", 9: "094035652457a298"},
	"zeros":                       {4: "47ee00073e4d51aa", 6: "47ee00073e4d51aa", 9: "11fb0ecccc2d635a"},
	"a window":                    {4: "3e29fdf2670bc8c0", 6: "6555fb044cb7a4fa", 9: "3704a3f1d61bed15"},
	"two windows":                 {4: "7ee38a3b1dc4c281", 6: "4e29febf03ca842f", 9: "69c28312226ee283"},
	"two windows and a lookahead": {4: "4a976d3952b86545", 6: "0637574024772676", 9: "13647931113da750"},
	"three windows less a byte":   {4: "835b4f615be9487a", 6: "538b3540a4ad7b09", 9: "9acc74aef79919ac"},
	"counts of Fibonacci":         {4: "412da42269f8447e", 6: "7347275c777029da", 9: "b0b8765d6d146f9f"},
	"words and noise":             {4: "7583eb3ce65890d7", 6: "48ac782fafd5da23", 9: "3398c22b4aa5d3d4"},
}
